"""Whether any valid token is refused while the signing key changes every two seconds.

    make bench-rotation

Runs the platform on private servers with two replicas of `token`, rotates, and has a verifier, which fetches the keys
over HTTP as any other service does, verify each token as soon as it was issued and again later.
"""

import argparse
import asyncio
import json
import random
import tempfile
from collections import Counter
from pathlib import Path

import jwt
from aiohttp import ClientSession
from dragoman_verifier import Verifier, VerifierError

from cli.operator import operator_bus
from deploy.servers.places import remove
from shared import context
from shared.contracts.token import RotateSigningKey
from tests.bench.running import running_platform
from tests.support.platform import ISSUER, Platform
from tests.support.token_api import TokenApi

PUBLISH_SECONDS = 30
EVERY_SECONDS = 2.0
CLIENTS = 8


async def rotate(platform: Platform, until: float) -> int:
    """Ask for another key every two seconds; returns how often."""
    loop = asyncio.get_running_loop()
    asked = 0
    async with operator_bus(platform.environment) as bus:
        while loop.time() < until:
            with context.request("bench-rotation", 5.0):
                await bus.call(RotateSigningKey())
            asked += 1
            await asyncio.sleep(EVERY_SECONDS)
    return asked


async def verify_all(api: TokenApi, verifier: Verifier, until: float, outcomes: Counter[str], kids: set[str]) -> None:
    """Get tokens, verify each, and an earlier one with it."""
    loop = asyncio.get_running_loop()
    chance = random.Random(1)
    earlier: list[str] = []
    while loop.time() < until:
        answer = await api.client_credentials()
        if answer.status != 200:
            outcomes[f"grant {answer.status}"] += 1
            continue
        token = answer.body["access_token"]
        kids.add(jwt.get_unverified_header(token)["kid"])
        earlier.append(token)
        for one in (token, chance.choice(earlier)):
            try:
                await verifier.verify(one)
                outcomes["accepted"] += 1
            except VerifierError as error:
                outcomes[type(error).__name__] += 1


async def main(seconds: float) -> None:
    """Rotate, load, print."""
    home = Path(tempfile.mkdtemp(prefix="dragoman-bench-"))
    outcomes: Counter[str] = Counter()
    kids: set[str] = set()
    try:
        settings = {"DRAGOMAN_TOKEN_KEY_PUBLISH_SECONDS": str(PUBLISH_SECONDS)}
        async with running_platform(home, replicas=2, settings=settings) as platform, ClientSession() as http:
            jwks = f"{platform.url}/.well-known/jwks.json"
            async with Verifier(ISSUER, ISSUER, jwks_url=jwks, allow_insecure=True) as verifier:
                until = asyncio.get_running_loop().time() + PUBLISH_SECONDS + seconds
                clients = [
                    verify_all(TokenApi(platform, http), verifier, until, outcomes, kids) for _ in range(CLIENTS)
                ]
                asked, *_ = await asyncio.gather(rotate(platform, until), *clients)
                fetches = verifier.health().key_fetches
    finally:
        remove(home)
    result = {"rotations": asked, "keys_seen": len(kids), "jwks_fetches": fetches, "verifications": dict(outcomes)}
    print(json.dumps(result, indent=2))  # noqa: T201 - the result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure rotation.")
    parser.add_argument("--seconds", type=float, default=60.0, help="with a new key every two seconds")
    asyncio.run(main(parser.parse_args().seconds))
