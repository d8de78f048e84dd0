"""A service with the verifier library, as a process: it tells when it accepts a token and when it refuses it.

    python -m tests.support.verifier_process ADDRESS ISSUER CLIENT SECRET

`ADDRESS` is the gateway's. A token a line comes in; two lines of JSON go out for each, `{"outcome": …, "at": …}`: the
first verification, and the first refusal after it. `at` is the monotonic clock, which all processes share.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any, Self

from dragoman_verifier import Revocations, Verifier, VerifierError

_LOOK_SECONDS = 0.001


@dataclass(frozen=True)
class VerifierProcess:
    """Such a process, as its parent sees it."""

    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, address: str, issuer: str, client_id: str, secret: str) -> Self:
        """Start one; it is ready when its first answer comes."""
        command = (sys.executable, "-m", __name__, address, issuer, client_id, secret)
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def offer(self, token: str) -> dict[str, Any]:
        """Have it verify a token, and watch it from then on; the outcome of the first verification."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{token}\n".encode())
        await self.process.stdin.drain()
        return await self.told()

    async def told(self, seconds: float = 20.0) -> dict[str, Any]:
        """What it says next."""
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            line = await self.process.stdout.readline()
        told: dict[str, Any] = json.loads(line)
        return told

    async def stop(self) -> None:
        """End it."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


def _say(outcome: str) -> None:
    print(json.dumps({"outcome": outcome, "at": time.monotonic()}), flush=True)  # noqa: T201 - its answer


async def _outcome(verifier: Verifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except VerifierError as error:
        return type(error).__name__
    return "ok"


async def _serve(address: str, issuer: str, client_id: str, secret: str) -> None:
    revocations = Revocations(
        client_id=client_id,
        client_secret=secret,
        url=f"{address}/.well-known/revocations",
        token_url=f"{address}/oauth/v2/token",
    )
    loop = asyncio.get_running_loop()
    jwks = f"{address}/.well-known/jwks.json"
    async with Verifier(issuer, issuer, jwks_url=jwks, revocations=revocations) as verifier:
        while token := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            _say(outcome := await _outcome(verifier, token))
            while outcome == "ok":
                await asyncio.sleep(_LOOK_SECONDS)
                outcome = await _outcome(verifier, token)
            _say(outcome)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
