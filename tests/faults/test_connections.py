"""Clients that are slow, silent, gone without a word, or send too much: little memory is used, others fare well."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.clients import everybody
from tests.faults.report import keep
from tests.faults.traffic import Fault, Traffic
from tests.support.platform import Platform
from tests.support.proxy import TcpProxy

pytestmark = pytest.mark.timeout(240)

IDLE = 10_000
_IDLE_SHORT = 2_000
_SPARE_FILES = 1_000
_AT_ONCE = 100
_MIB = 1024.0
_KIB_PER_CONNECTION = 64.0
_SLOWEST_SECONDS = 4.0
_MORE_THAN_THE_KERNEL_TAKES = 24 * 1024 * 1024
_HEAD = b"POST /oauth/v2/token HTTP/1.1\r\nHost: id.example.com\r\nContent-Type: application/json\r\n"
_ASK = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: id.example.com\r\n\r\n"


@pytest.fixture(scope="module", autouse=True)
def most_files(platform: Platform) -> Iterator[int]:
    """As many open files as the machine lets this process have, and with it the gateway that is started anew."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, 2 * IDLE) if hard != resource.RLIM_INFINITY else 2 * IDLE
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    platform.end("gateway")
    try:
        asyncio.run(platform.bring(1))
        yield max(soft, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_idle_connections(platform: Platform, most_files: int, long: bool) -> None:
    """Thousands that say nothing, or half a request: little memory for each, none refused, others' answers as ever."""
    number = min(IDLE if long else _IDLE_SHORT, most_files - _SPARE_FILES)
    before = _kib(platform)
    async with Traffic([platform.url], everybody()) as traffic:
        fault = traffic.fault("idle connections")
        async with _connections(_address(platform), number) as idle:
            for one in idle[1::2]:
                await _send(one, _HEAD)
            await traffic.more(10 if long else 3)
            each = (_kib(platform) - before) / number
            answers = await asyncio.gather(*(_answer_to(one, _ASK) for one in idle[: 2 * _AT_ONCE : 2]))
    assert {answer.split(b" ")[1] for answer in answers} == {b"200"}
    assert each < _KIB_PER_CONNECTION
    _expect_unharmed(fault, platform)
    more: dict[str, float | int | str] = {"connections": number, "KiB for each": round(each, 1)}
    keep(fault.finding(group="connections", held="others unharmed", long=long, more=more))


async def test_slow_clients(platform: Platform, long: bool) -> None:
    """A body that drips in is given up with the request's time (408); others' answers are as ever."""
    number = 500 if long else 50
    async with Traffic([platform.url], everybody()) as traffic:
        fault = traffic.fault("clients that send a byte each 0.1 s")
        async with _connections(_address(platform), number) as slow:
            answers = await asyncio.gather(*(_drip(one) for one in slow))
    assert {answer.split(b" ")[1] for answer in answers} == {b"408"}
    _expect_unharmed(fault, platform)
    keep(fault.finding(group="connections", held=f"408 to all {number}; others unharmed", long=long))


async def test_half_open_connections_do_not_keep_a_gateway_from_ending(platform: Platform, long: bool) -> None:
    """Clients gone without a word: others' answers are as ever, and a gateway that is told to go ends with 0."""
    number = 1000 if long else 100
    [gateway] = platform.replicas("gateway")
    async with TcpProxy(*_address(platform)) as proxy, _connections(("127.0.0.1", proxy.port), number) as clients:
        async with Traffic([platform.url], everybody()) as traffic:
            fault = traffic.fault("half-open connections")
            answers = await asyncio.gather(*(_answer_to(one, _ASK) for one in clients))
            assert {answer.split(b" ")[1] for answer in answers} == {b"200"}
            await asyncio.gather(*(_send(one, _HEAD) for one in clients[::2]))
            proxy.freeze()
            await traffic.more(10 if long else 3)
        _expect_unharmed(fault, platform)
        gateway.process.terminate()
        assert await gateway.ended(30.0) == 0
    await platform.bring(1)
    keep(
        fault.finding(
            group="connections", held=f"{number:,}: others unharmed; the gateway ends when told to", long=long
        )
    )


async def test_clients_that_do_not_read_their_answers(platform: Platform, long: bool) -> None:
    """Questions without end on a connection, and no answer read: the gateway stops reading too, and keeps little."""
    number = 50 if long else 10
    page = b"GET /openapi.json HTTP/1.1\r\nHost: id.example.com\r\n\r\n"
    questions = page * (_MORE_THAN_THE_KERNEL_TAKES // len(page))
    before = _kib(platform)
    async with Traffic([platform.url], everybody()) as traffic:
        fault = traffic.fault("clients that ask and do not read")
        async with _connections(_address(platform), number) as deaf:
            sent = sum(await asyncio.gather(*(_send_what_is_taken(one, questions) for one in deaf)))
            await traffic.more(10 if long else 3)
            grown = (_kib(platform) - before) / _MIB
    assert sent < number * len(questions), "the gateway read all of it"
    assert grown < 2.0 * number + 16.0
    _expect_unharmed(fault, platform)
    more: dict[str, float | int | str] = {"MiB in all": round(max(0.0, grown), 1)}
    keep(
        fault.finding(
            group="connections", held=f"{number}: the gateway stops reading; others unharmed", long=long, more=more
        )
    )


async def test_huge_headers(platform: Platform, long: bool) -> None:
    """Headers of megabytes, in one line, many lines or the first line, are refused before they are whole."""
    number = 50 if long else 10
    head = b"GET / HTTP/1.1\r\nHost: id.example.com\r\n"
    size = 8 * 1024 * 1024
    floods = (head + b"X-Long: " + b"x" * size, head + b"X-Many: x\r\n" * (size // 11), b"GET /" + b"x" * size)
    before = _kib(platform)
    async with Traffic([platform.url], everybody()) as traffic:
        fault = traffic.fault("headers of 8 MiB")
        for flood in floods:
            async with _connections(_address(platform), number) as clients:
                answers = await asyncio.gather(*(_answer_to(one, flood) for one in clients))
            assert {answer[9:12] for answer in answers} <= {b"400", b"414", b"431", b""}, answers
        await traffic.more(10 if long else 3)
        grown = (_kib(platform) - before) / _MIB
    assert grown < 64.0
    _expect_unharmed(fault, platform)
    more: dict[str, float | int | str] = {"MiB in all": round(max(0.0, grown), 1)}
    keep(
        fault.finding(
            group="connections", held=f"{3 * number}: refused (4xx) or cut; others unharmed", long=long, more=more
        )
    )


def _expect_unharmed(fault: Fault, platform: Platform) -> None:
    assert fault.errors() == {}, platform.refusals
    assert fault.wrong == []
    assert max(asked.ended_at - asked.sent_at for asked in fault.asked) < _SLOWEST_SECONDS


def _kib(platform: Platform) -> float:
    """What the gateway has in memory."""
    [gateway] = platform.replicas("gateway")
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return float(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def _address(platform: Platform) -> tuple[str, int]:
    parts = urlsplit(platform.url)
    return str(parts.hostname), int(parts.port or 80)


@asynccontextmanager
async def _connections(address: tuple[str, int], number: int) -> AsyncIterator[list[socket.socket]]:
    """So many connections, on which nothing is said yet."""
    opened: list[socket.socket] = []
    try:
        while len(opened) < number:
            wanted = min(_AT_ONCE, number - len(opened))
            opened += await asyncio.gather(*(_connect(address) for _ in range(wanted)))
        yield opened
    finally:
        for one in opened:
            one.close()


async def _connect(address: tuple[str, int]) -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


async def _send(one: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(one, data)


async def _answer_to(one: socket.socket, data: bytes, seconds: float = 30.0) -> bytes:
    """The beginning of the answer, nothing when the connection is cut instead."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        with suppress(ConnectionError):  # it may be cut while this is sent; the answer is there all the same
            await loop.sock_sendall(one, data)
        with suppress(ConnectionError):
            return await loop.sock_recv(one, 65_536)
    return b""


async def _drip(one: socket.socket) -> bytes:
    """Announce a body and send a byte of it now and then, until there is an answer."""
    loop = asyncio.get_running_loop()
    await _send(one, _HEAD + b"Content-Length: 10000\r\n\r\n")
    answer = asyncio.create_task(_answer_to(one, b"{"))
    while not answer.done():
        await asyncio.wait({answer}, timeout=0.1)
        with suppress(ConnectionError):
            await loop.sock_sendall(one, b" ")
    return await answer


async def _send_what_is_taken(one: socket.socket, data: bytes) -> int:
    """Send until nothing was taken for a second; how much was."""
    loop = asyncio.get_running_loop()
    sent, last = 0, loop.time()
    while sent < len(data) and loop.time() - last < 1.0:
        try:
            sent += one.send(data[sent : sent + 65_536])
            last = loop.time()
        except BlockingIOError:
            await asyncio.sleep(0.02)  # nobody tells when the other side will read on
    return sent
