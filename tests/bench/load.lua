-- What wrk asks and how it judges the answers; tests/bench/load.py writes the files and says what the arguments are.
-- A thread of wrk has one state for all of its connections, so what is counted here is counted for all of them.

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds; long nanoseconds; } load_time; int clock_gettime(int, load_time *);")
local MONOTONIC = ffi.os == "OSX" and 6 or 1

local shots, asked = {}, 0
local status, mark, header, member = 200, "", "", ""
local counted_from = 0
local tokens, first, last = {}, 1, 0

good, bad, first_bad, ramp = 0, 0, "", 0

-- Only the main state knows the threads, and only `done` runs in it.
local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(arguments)
    status, mark, header, member = tonumber(arguments[3]), arguments[4], arguments[5], arguments[6]
    ramp = tonumber(arguments[7])
    counted_from = now() + ramp
    local file = assert(io.open(arguments[1], "rb"))
    while true do
        local head, body = file:read("*n", "*n")
        if not head then break end
        file:read(1)
        shots[#shots + 1] = {head = file:read(head) or "", body = body > 0 and file:read(body) or ""}
    end
    file:close()
    for token in io.lines(arguments[2]) do give(token) end
    for _, shot in ipairs(shots) do
        -- Without a token to fill in, a request is the same each time.
        if member == "" then shot.whole = whole(shot, shot.body) end
    end
end

function now()
    local time = ffi.new("load_time")
    ffi.C.clock_gettime(MONOTONIC, time)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

function whole(shot, body)
    local length = body == "" and "" or "Content-Length: " .. #body .. "\r\n"
    return shot.head .. length .. "\r\n" .. body
end

function give(token)
    last = last + 1
    tokens[last] = token
end

-- The token that has waited longest. Nobody else has it until its successor is given back. Errors use tokens up;
-- once none is left the request is sent without, and refused.
function take()
    if first > last then return "" end
    local token = tokens[first]
    tokens[first] = nil
    first = first + 1
    return token
end

function request()
    asked = asked + 1
    local shot = shots[(asked - 1) % #shots + 1]
    if shot.whole then return shot.whole end
    local token = take()
    return whole(shot, (shot.body:gsub("{token}", function() return token end)))
end

function response(answered, headers, body)
    local fine = answered == status and body:find(mark, 1, true) and (header == "" or is_given(headers, header))
    local successor = member ~= "" and fine and body:match('"' .. member .. '"%s*:%s*"([^"]+)"')
    if fine and (member == "" or successor) then
        if counted_from > 0 and now() >= counted_from then counted_from = 0 end
        if counted_from == 0 then good = good + 1 end
        if successor then give(successor) end
    else
        bad = bad + 1
        if first_bad == "" then first_bad = answered .. " " .. body:sub(1, 300) end
    end
end

function is_given(headers, wanted)
    for name, value in pairs(headers) do
        if name:lower() == wanted then return value ~= "" end
    end
    return false
end

function done(summary, latency, _)
    local all, wrong, example, ramp = 0, 0, "", 0
    for _, thread in ipairs(threads) do
        all, wrong = all + thread:get("good"), wrong + thread:get("bad")
        if example == "" then example = thread:get("first_bad") end
        ramp = thread:get("ramp")
    end
    local broken = summary.errors
    local escaped = example:gsub('[%c"\\\128-\255]', function(char) return string.format("\\u%04x", char:byte()) end)
    io.write(string.format(
        '\n{"requests": %d, "wrong": %d, "broken": %d, "late": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, ' ..
            '"max_ms": %.3f, "cpu_seconds": %.6f, "example": "%s"}\n',
        all, wrong, broken.connect + broken.read + broken.write, broken.timeout, summary.duration / 1e6 - ramp,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3, os.clock(), escaped
    ))
end
