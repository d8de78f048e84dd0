"""Redis: its version, its clock, whether it takes writes and whether it throws out what it was given."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from cli.checks.clocks import check_clock
from cli.checks.deployment import Deployment
from cli.checks.finding import Findings, reason
from cli.checks.versions import REDIS, check_version
from shared.clock import Clock
from shared.redis import open_redis

_SECONDS = 5.0


async def check_redis(deployment: Deployment, clock: Clock) -> list[Findings]:
    """Look at each Redis that a component is told of."""
    server, clocks = Findings("redis"), Findings("clock")
    if not deployment.redis:
        server.skip("server", "no URL is here")
    for url in dict.fromkeys(deployment.redis.values()):
        try:
            async with open_redis(url, answer_seconds=_SECONDS) as redis:
                before = clock.now()
                seconds, microseconds = await redis.time()
                after = clock.now()
                told = await redis.info()
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            users = ", ".join(name for name, used in deployment.redis.items() if used == url)
            server.problem(_name(url), f"cannot be used: {reason(error)}", f"{users} cannot either")
            continue
        told_at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
        check_clock(clocks, "redis", before, told_at, after)
        check_version(server, "server", str(told["redis_version"]), REDIS)
        if told.get("role") == "slave":
            server.problem("writing", "the server is a replica", "the URL has to lead to the primary")
        if told.get("maxmemory") and told.get("maxmemory_policy") != "noeviction":
            policy = told.get("maxmemory_policy")
            server.warn(
                "memory",
                f"its policy is {policy}: codes, challenges and counters may vanish when it is full",
                "set maxmemory-policy noeviction",
            )
        else:
            server.ok("memory", "nothing is thrown out")
    return [server, clocks]


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or "server"
    except ValueError:
        return "server"
