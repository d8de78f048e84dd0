"""Load from `wrk`: prepared requests over connections that stay open, each answer judged, not merely counted.

`wrk` takes a tenth of the CPU of a client in Python, which on two cores is what the platform would lack. Its answers
are judged in tests/bench/load.lua: an answer that is not the expected one is an error, whatever its status is.
"""

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from deploy.servers.packages import can_install, install

TOKEN = "{token}"
"""In the body of a shot of a chained load: where the token of this turn goes."""

_SCRIPT = Path(__file__).with_name("load.lua")
_WARM_UP_SECONDS = 1
_ANSWER_SECONDS = 10
_BEYOND_SECONDS = 30.0


@dataclass(frozen=True)
class Shot:
    """One request, as it goes over the wire each time. The length of the body is added by itself."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class Load:
    """Requests that are sent in turn, and what an answer must look like to be a success.

    - `mark`: what the body must contain; empty: anything will do.
    - `header`: a header that must be there and not empty.
    - `chain`: a member of the JSON answer that is the token of a later request. A request takes a token out of
      `tokens` and its answer puts the successor at their end, so that none is ever under way twice. A run uses its
      tokens up: what came of those under way at its end is not known.
    - `ramp_seconds`: how long successes are not counted yet, for what takes a while to get into its stride. A run is
      so much longer.
    """

    name: str
    shots: Sequence[Shot]
    mark: str = ""
    status: int = 200
    header: str = ""
    chain: str = ""
    tokens: Sequence[str] = ()
    ramp_seconds: int = 0

    def part(self, number: int, parts: int) -> "Load":
        """The same with one share of its tokens, for one of several runs."""
        return replace(self, tokens=self.tokens[number::parts])


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    - `requests`: successes alone; `seconds`: in which they came.
    - `errors`: wrong answers, broken connections, answers later than ten seconds.
    - `p50_ms`, `p99_ms`, `max_ms`: of all answers. wrk adds to them what would have waited behind a slow one.
    - `driver_cpu_seconds`: what wrk itself has used.
    - `example`: the first wrong answer, empty without one.
    """

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    driver_cpu_seconds: float
    example: str = ""

    @property
    def per_second(self) -> float:
        """Successes a second."""
        return self.requests / self.seconds if self.seconds else 0.0


def provide_wrk() -> None:
    """Install wrk from the distribution's packages where it is missing. Raises RuntimeError where that cannot be."""
    if shutil.which("wrk") is None:
        if not can_install():
            raise RuntimeError("wrk is missing: install it")
        install(["wrk"])


async def warm_up(url: str, load: Load, connections: int) -> None:
    """Drive for a second and forget what came of it; a chained load needs a token for each connection here too."""
    await drive(url, replace(load, ramp_seconds=0), connections, _WARM_UP_SECONDS)


async def drive(url: str, load: Load, connections: int, seconds: int) -> Outcome:
    """Send the requests of `load` from one thread for so many seconds, one at a time on each connection.

    `url` is http://127.0.0.1:PORT. A chained load needs more tokens than connections. Raises RuntimeError when wrk
    fails or does not end.
    """
    # wrk asks for one request before it begins, and does not send it.
    assert not load.chain or len(load.tokens) > connections, f"{load.name} has too few tokens"
    with _written(load, urlsplit(url).netloc) as (shots, tokens):
        command = [
            *(
                "wrk",
                "--threads",
                "1",
                "--connections",
                str(connections),
                "--duration",
                f"{load.ramp_seconds + seconds}s",
            ),
            *("--timeout", f"{_ANSWER_SECONDS}s", "--script", str(_SCRIPT), url, "--", str(shots), str(tokens)),
            *(str(load.status), load.mark, load.header.lower(), load.chain, str(load.ramp_seconds)),
        ]
        said = await _run(command, load.ramp_seconds + seconds + _BEYOND_SECONDS)
    try:
        told = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        raise RuntimeError(f"wrk says nothing of {load.name}: {said}") from None
    return Outcome(
        requests=told["requests"],
        errors=told["wrong"] + told["broken"] + told["late"],
        seconds=told["seconds"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        max_ms=told["max_ms"],
        driver_cpu_seconds=told["cpu_seconds"],
        example=told["example"],
    )


async def _run(command: Sequence[str], seconds: float) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate()
    except TimeoutError:
        raise RuntimeError(f"wrk did not end within {seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"wrk has failed ({process.returncode}): {said.decode(errors='replace')}")
    return said.decode(errors="replace")


@contextlib.contextmanager
def _written(load: Load, host: str) -> Iterator[tuple[Path, Path]]:
    """The files that the script reads; in a folder that only we may enter, since there are secrets in them."""
    with tempfile.TemporaryDirectory(prefix="dragoman-load-") as folder:
        shots, tokens = Path(folder) / "shots", Path(folder) / "tokens"
        with shots.open("wb") as file:
            for shot in load.shots:
                head, body = _head(shot, host).encode(), shot.body.encode()
                file.write(b"%d %d\n%s%s" % (len(head), len(body), head, body))
        tokens.write_text("".join(f"{token}\n" for token in load.tokens))
        yield shots, tokens


def _head(shot: Shot, host: str) -> str:
    lines = [f"{shot.method} {shot.path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in shot.headers.items()]
    return "".join(f"{line}\r\n" for line in lines)
