"""Whether the time of an answer tells who has an account: known and unknown users, asked in turn.

    make bench-timing

Runs the platform on private servers, without limits and without the stall of the `directus` dialect, which would hide
what is to be measured. For each question it prints the medians and the effect size: how often an answer about a known
user is slower than one about an unknown user. One half means that nothing can be told; the last number is how far from
it chance alone would lead, 99 times in a hundred.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from aiohttp import ClientSession
from pydantic import SecretStr

from cli.operator import operator_bus
from deploy.servers.places import remove
from shared import context
from shared.contracts.identity import CreateUser
from shared.telemetry import configure_logging
from tests.bench.running import running_platform
from tests.dialects.doors import DOORS, Door
from tests.support.platform import Platform

ATTEMPTS = 8
"""Failures per account: fewer than begin a delay."""
TELLING = 0.1
"""How far from one half is too far: at 0.6 somebody who asks a few dozen times about one name learns something."""
_LIMITS_OFF = {"DRAGOMAN_GATEWAY_LIMITS": "off", "DRAGOMAN_GATEWAY_DIRECTUS_LOGIN_STALL_MS": "0"}


@dataclass(frozen=True)
class Question:
    """Something that a stranger can ask about a name."""

    path: str
    body: Callable[[str], dict[str, Any]]


def guess(door: Door) -> Question:
    """A wrong password at one of the dialects."""
    return Question(door.sign_in_path, lambda name: door.sign_in_body(name, "a wrong guess"))


QUESTIONS = (
    *map(guess, DOORS),
    Question("/v1/forgot-password", lambda name: {"username": name}),
    Question(
        "/v1/forgot-password-confirm",
        lambda name: {"username": name, "password": "a sentence nobody would choose", "confirmation_code": "123456"},
    ),
    Question("/auth/password/request", lambda name: {"email": name}),
)


def chance_of_being_slower(known: list[float], unknown: list[float]) -> float:
    """How often one of `known` is greater than one of `unknown`, ties counting half (the Mann–Whitney statistic)."""
    ordered = sorted(unknown)
    wins = sum((bisect_left(ordered, one) + bisect_right(ordered, one)) / 2 for one in known)
    return wins / (len(known) * len(unknown))


async def create_users(platform: Platform, question: int, number: int) -> list[str]:
    """Users whom nothing was asked about yet."""
    names = [f"known-{question}-{n}@example.com" for n in range(number)]
    async with operator_bus(platform.environment) as bus:
        for name in names:
            with context.request("bench", 10.0):
                call = CreateUser(email=name, password=SecretStr("their password"), enforce_policy=False, replace=True)
                await bus.call(call)
    return names


async def measure(http: ClientSession, question: Question, names: list[list[str]], samples: int) -> list[list[float]]:
    """The seconds of each answer about the names of either kind, asked in turn so that both meet the same weather."""
    took: list[list[float]] = [[], []]
    answers: set[tuple[int, str]] = set()
    for n in range(samples):
        for kind in (n % 2, 1 - n % 2):
            started = time.perf_counter()
            async with http.post(question.path, json=question.body(names[kind][n % len(names[kind])])) as response:
                answers.add((response.status, await response.text()))
            took[kind].append(time.perf_counter() - started)
    assert len(answers) == 1, answers
    return took


async def main(samples: int) -> bool:
    """Ask everything; whether no question told anything."""
    configure_logging("error")
    home = Path(tempfile.mkdtemp(prefix="dragoman-bench-"))
    by_chance = 2.58 * ((2 * samples + 1) / (12 * samples * samples)) ** 0.5
    fine = True
    try:
        async with running_platform(home) as platform:
            await platform.start("gateway", **_LIMITS_OFF).ready()
            for index, question in enumerate(QUESTIONS):
                known = await create_users(platform, index, -(-samples // ATTEMPTS))
                names = [known, [name.replace("known", "unknown") for name in known]]
                async with ClientSession(platform.url) as http:
                    slow = await measure(http, question, names, samples)
                effect = chance_of_being_slower(*slow)
                fine &= abs(effect - 0.5) <= TELLING
                medians = " ".join(f"{median(one) * 1000:7.2f} ms" for one in slow)
                sys.stdout.write(
                    f"{question.path:30} known, unknown: {medians}   effect {effect:.3f} (chance {by_chance:.3f})\n"
                )
    finally:
        remove(home)
    return fine


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure whether time tells who has an account.")
    parser.add_argument("--samples", type=int, default=1000, help="of each kind, for each question")
    sys.exit(0 if asyncio.run(main(parser.parse_args().samples)) else "an answer's time tells who has an account")
