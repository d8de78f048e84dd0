"""How soon a revoked token is refused by every verifier, and how fast a verifier verifies.

    make bench-revocation

Runs the platform on private servers and three verifiers in processes of their own. The times are from the moment when
the answer of POST /oauth/v2/revoke has come to the refusal at a verifier that asks itself every millisecond.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from aiohttp import ClientSession
from dragoman_verifier import Revocations, Verifier

from deploy.running.components import program
from deploy.servers.places import remove
from tests.bench.running import running_platform
from tests.support.platform import ISSUER, ROOT, Platform
from tests.support.token_api import CLIENT, TokenApi
from tests.support.verifier_process import VerifierProcess

VERIFIERS = 3
TARGET_MS = 50.0


async def follower_secret(platform: Platform) -> str:
    """The secret of a new client that may follow the feed."""
    command = ("client", "create", "follower", "--scope", "revocations:read", "--json")
    return str(json.loads(await platform.run(program("dragoman"), *command))["client_secret"])


async def revocations(platform: Platform, api: TokenApi, secret: str, number: int) -> list[float]:
    """Milliseconds from revoke's answer to the refusal, at each verifier for each of `number` sessions."""
    verifiers = [await VerifierProcess.start(platform.url, ISSUER, "follower", secret) for _ in range(VERIFIERS)]
    found: list[float] = []
    try:
        for _ in range(number):
            session = (await api.password()).body
            offered = await asyncio.gather(*(verifier.offer(session["access_token"]) for verifier in verifiers))
            assert all(one["outcome"] == "ok" for one in offered), offered
            answer = await api.request("POST", "/oauth/v2/revoke", {**CLIENT, "token": session["refresh_token"]})
            answered_at = time.monotonic()
            assert answer.status == 200, answer
            refused = await asyncio.gather(*(verifier.told() for verifier in verifiers))
            assert all(one["outcome"] == "TokenRevoked" for one in refused), refused
            found += [(one["at"] - answered_at) * 1000 for one in refused]
    finally:
        for verifier in verifiers:
            await verifier.stop()
    return found


async def verifications(platform: Platform, api: TokenApi, secret: str) -> dict[str, float]:
    """Verifications a second on one core of a token already seen; a first one against PyJWT's own decode.

    Both by a verifier that follows the feed.
    """
    token = (await api.password()).body["access_token"]
    keys = (await api.keys()).body
    header = jwt.get_unverified_header(token)
    key = jwt.PyJWKSet.from_dict(keys)[header["kid"]]

    async def published() -> tuple[dict[str, Any], dict[str, str]]:
        return keys, {"Cache-Control": "max-age=3600"}

    feed = Revocations(
        client_id="follower",
        client_secret=secret,
        url=f"{platform.url}/.well-known/revocations",
        token_url=f"{platform.url}/oauth/v2/token",
    )
    async with Verifier(ISSUER, ISSUER, keys=published, revocations=feed) as verifier:
        await verifier.verify(token)
        seen = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(50_000):
                await verifier.verify(token)
            seen.append(50_000 / (time.perf_counter() - started))
    async with Verifier(ISSUER, ISSUER, keys=published, revocations=feed, cache_size=0) as verifier:
        await verifier.verify(token)
        first, own = [], []
        decode: Callable[[], object] = lambda: jwt.decode(  # noqa: E731 - so that both loops look alike
            token, key, algorithms=["ES256"], issuer=ISSUER, audience=ISSUER
        )
        # Turn by turn, so that a busy machine slows both alike.
        for _ in range(2_000):
            started = time.perf_counter()
            await verifier.verify(token)
            between = time.perf_counter()
            decode()
            first.append(between - started)
            own.append(time.perf_counter() - between)
    microseconds = [statistics.median(one) * 1e6 for one in (first, own)]
    return {
        "seen_per_second": round(statistics.median(seen)),
        "first_us": round(microseconds[0], 1),
        "pyjwt_us": round(microseconds[1], 1),
        "ratio": round(microseconds[0] / microseconds[1], 3),
    }


def summary(found: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds; a refusal before the answer counts as none."""
    ordered = sorted(max(0.0, one) for one in found)
    return {
        "count": len(ordered),
        "p50_ms": round(ordered[len(ordered) // 2], 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 2),
        "max_ms": round(ordered[-1], 2),
        "before_the_answer": round(sum(one <= 0 for one in found) / len(found), 3),
    }


async def main(number: int) -> None:
    """Measure, print, and keep the figures."""
    home = Path(tempfile.mkdtemp(prefix="dragoman-bench-"))
    try:
        async with running_platform(home) as platform, ClientSession() as http:
            api = TokenApi(platform, http)
            secret = await follower_secret(platform)
            latency = summary(await revocations(platform, api, secret, number))
            speed = await verifications(platform, api, secret)
    finally:
        remove(home)
    result = {"revocation": latency, "verification": speed}
    kept = ROOT / ".run" / "bench" / f"revocation-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"  # noqa: TID251 - a file's name
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))  # noqa: T201 - the result
    print(f"p99 {latency['p99_ms']} ms, {'under' if latency['p99_ms'] < TARGET_MS else 'OVER'} {TARGET_MS:g} ms")  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure revocation.")
    parser.add_argument("--revocations", type=int, default=1000)
    asyncio.run(main(parser.parse_args().revocations))
