"""The platform beside others, as ratios.

    make bench-peers

Runs the platform and each peer on private servers, all pinned to the same cores, and drives the same operation on both
in turn. What counts is the CPU time of all processes of a side per successful request. Status 1 when an answer was
wrong, never because something is slow.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from deploy.servers.places import remove
from shared.telemetry import configure_logging
from tests.bench.facts import facts, keep
from tests.bench.load import provide_wrk
from tests.bench.operations import Stage
from tests.bench.peers import oauth, users
from tests.bench.peers.contest import Comparison, Options
from tests.bench.peers.table import document, text
from tests.bench.running import LIMITS, running_platform

NAMES = (users.NAME, *oauth.NAMES)
_ANSWER_SECONDS = 30.0


async def measure(options: Options) -> tuple[list[Comparison], dict[str, Any]]:
    """Everything that `options` ask for, and the facts of the machine."""
    home = Path(tempfile.mkdtemp(prefix="dragoman-bench-"))
    try:
        async with (
            running_platform(home, settings={"DRAGOMAN_GATEWAY_LIMITS": LIMITS}) as running,
            ClientSession(timeout=ClientTimeout(_ANSWER_SECONDS)) as http,
        ):
            stage = await Stage.set(running, http)
            # In this order: oauth ends with another signing key.
            found = await users.measure(home, running, stage, options)
            found += await oauth.measure(home, running, stage, options)
            return found, await facts(running)
    finally:
        remove(home)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and keep the figures."""
    options = parsed(arguments)
    # Before anything is started: whatever this process starts stays on these cores.
    os.sched_setaffinity(0, options.cores)
    configure_logging("error")
    provide_wrk()
    found, machine = asyncio.run(measure(options))
    print(text(found, options))  # noqa: T201 - the result
    print(f"\n{keep('peers', document(found, options) | {'facts': machine})}")  # noqa: T201
    return 1 if any(side.errors for one in found for side in (one.theirs, one.ours)) else 0


def parsed(arguments: Sequence[str]) -> Options:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description="Measure beside others.")
    parser.add_argument("--seconds", type=int, default=5, help="of each round")
    parser.add_argument("--rounds", type=int, default=2, help="in which both have their turn")
    parser.add_argument("--connections", type=_numbers, default=(1, 16, 64))
    parser.add_argument("--only", type=_names, default=(), help=f"some of {','.join(NAMES)}")
    cores = tuple(sorted(os.sched_getaffinity(0)))[:2]
    parser.add_argument("--cores", type=_numbers, default=cores, help="for all servers and the load, say 0,1")
    parser.add_argument("--pipelined", action="store_true", help="let ioredis send together what waits")
    return Options(**vars(parser.parse_args(arguments)))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(NAMES):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
