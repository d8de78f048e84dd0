"""Send all the examples and print a table of what came back; exits with 1 when an answer is not the documented one."""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from deploy.running.environment import GATEWAY, INBOX
from deploy.seeds.requests import EXAMPLES, Example
from shared.settings import environment

_SECONDS = 30.0
_CODE = re.compile(r"\b\d{6,8}\b")
_LINK_TOKEN = re.compile(r"[?&]token=([A-Za-z0-9._-]+)")


class SeedsError(Exception):
    """The examples can't be sent, for a reason that a person can do something about."""


class Runner:
    """Sends examples one after the other; what one answers, the next ones may use."""

    def __init__(self, http: ClientSession, gateway: str, inbox: str) -> None:
        self._http = http
        self._gateway = gateway
        self._inbox = inbox
        self._known: dict[str, str] = {}
        self._read: dict[str, int] = {}

    async def run(self, examples: Sequence[Example]) -> list[tuple[Example, str | None]]:
        """Send them all; with each goes what is wrong with its answer, or None."""
        await self._read_all_mail()
        return [(example, await self._send(example)) for example in examples]

    async def _send(self, example: Example) -> str | None:
        if example.code:
            await self._read_mail(example.code)
        async with self._http.request(
            example.method,
            self._gateway + self._filled(example.path),
            data=None if example.body is None else self._filled(json.dumps(example.body)).encode(),
            headers={name: self._filled(value) for name, value in example.headers.items()},
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as response:
            text = await response.text()
        answer = json.loads(text) if text else None
        if response.status != example.status:
            return f"{response.status} instead of {example.status}: {text[:200]}"
        if problem := difference(example.answer, answer):
            return problem
        for name, path in example.keep.items():
            self._known[name] = _at(answer, path)
        return None

    def _filled(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda place: self._known.get(place[1], place[0]), text)

    async def _read_all_mail(self) -> None:
        """Pass over what earlier runs were sent."""
        for address in {example.code for example in EXAMPLES if example.code}:
            messages = await self._messages(address, wait=0)
            self._read[address] = max((message["number"] for message in messages), default=0)

    async def _read_mail(self, address: str) -> None:
        messages = await self._messages(address, wait=int(_SECONDS))
        if not messages:
            raise SeedsError(f"no message to {address} came within {_SECONDS:.0f} s")
        newest = max(messages, key=lambda message: int(message["number"]))
        self._read[address] = newest["number"]
        for name, pattern in (("code", _CODE), ("link_token", _LINK_TOKEN)):
            if found := pattern.search(newest["text"]):
                self._known[name] = found[found.lastindex or 0]

    async def _messages(self, address: str, *, wait: int) -> list[dict[str, Any]]:
        query = {"to": address, "after": str(self._read.get(address, 0)), "wait": str(wait)}
        async with self._http.get(f"{self._inbox}/messages.json", params=query) as response:
            messages: list[dict[str, Any]] = await response.json()
            return messages


def difference(documented: Any, answer: Any, where: str = "the answer") -> str | None:
    """What differs between the documented shape and the answer, None when nothing does."""
    if isinstance(documented, type):
        right = isinstance(answer, documented) and answer != ""
        return None if right else f"{where} is no {documented.__name__}: {answer!r}"
    if not isinstance(documented, Mapping):
        return None if documented == answer else f"{where} is {answer!r}, not {documented!r}"
    if not isinstance(answer, Mapping) or list(answer) != list(documented):
        keys = list(answer) if isinstance(answer, Mapping) else answer
        return f"{where} has {keys}, not {list(documented)}"
    problems = (difference(documented[key], answer[key], f"{where}.{key}") for key in documented)
    return next((problem for problem in problems if problem), None)


def table(results: Sequence[tuple[Example, str | None]]) -> list[str]:
    """One line for each example."""
    titles = max(len(example.title) for example, _ in results)
    paths = max(len(f"{example.method} {example.path}") for example, _ in results)
    return [
        f"{example.seed}  {example.title:{titles}}  {f'{example.method} {example.path}':{paths}}  {example.status}  "
        + ("as documented" if problem is None else f"WRONG: {problem}")
        for example, problem in results
    ]


def _at(answer: Any, path: str) -> str:
    for name in path.split("."):
        answer = answer[name]
    return str(answer)


async def send(gateway: str, inbox: str) -> list[tuple[Example, str | None]]:
    """Send every example to the platform at `gateway`, whose messages arrive at `inbox`."""
    async with ClientSession(timeout=ClientTimeout(_SECONDS + 10)) as http:
        return await Runner(http, gateway, inbox).run(EXAMPLES)


def main() -> int:
    """Send, print, and say by the exit status whether all was as documented."""
    environ = environment()
    # Without ports of their own those of the last `make run`, as its settings tell them.
    gateway = environ.get(GATEWAY) or environ.get("DRAGOMAN_GATEWAY_PORT", "8080")
    inbox = environ.get(INBOX) or urlsplit(environ.get("DRAGOMAN_OTP_SMS_URL", "http://127.0.0.1:8025")).port
    parser = argparse.ArgumentParser(prog="python -m deploy.seeds", description=__doc__)
    parser.add_argument("--gateway", default=f"http://127.0.0.1:{gateway}")
    parser.add_argument("--inbox", default=f"http://127.0.0.1:{inbox}")
    arguments = parser.parse_args()
    try:
        results = asyncio.run(send(arguments.gateway, arguments.inbox))
    except (SeedsError, ClientError, TimeoutError) as error:
        sys.stderr.write(f"error: the examples could not be sent (is `make run` active?): {error}\n")
        return 1
    wrong = sum(problem is not None for _, problem in results)
    lines = [*table(results), f"{len(results) - wrong} of {len(results)} answers are as documented"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
