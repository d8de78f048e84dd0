"""Redis: its version and clock, whether it takes writes and throws out what it was given, and who watches it."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import RedisError

from cli.checks.clocks import check_clock
from cli.checks.deployment import Deployment
from cli.checks.finding import Findings
from cli.checks.sentinels import check_sentinels
from cli.checks.versions import REDIS, check_version
from shared.clock import Clock
from shared.errors import reason
from shared.redis import open_redis
from shared.redis_url import parse_redis_url

_SECONDS = 5.0


async def check_redis(deployment: Deployment, clock: Clock) -> list[Findings]:
    """Look at each Redis that a component is told of."""
    server, clocks = Findings("redis"), Findings("clock")
    if not deployment.redis:
        server.skip("server", "no URL is here")
    for url in dict.fromkeys(deployment.redis.values()):
        try:
            address = parse_redis_url(url)
            if address.sentinels:
                await check_sentinels(server, address)
            async with open_redis(url, answer_seconds=_SECONDS) as redis:
                before = clock.now()
                seconds, microseconds = await redis.time()
                after = clock.now()
                told = await redis.info()
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            users = ", ".join(name for name, used in deployment.redis.items() if used == url)
            # What redis-py says of sentinels names everything that it knows of each.
            why = "no sentinel knows of a master" if isinstance(error, MasterNotFoundError) else reason(error)
            server.problem(_name(url), f"cannot be used: {why}", f"{users} cannot either")
            continue
        told_at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
        check_clock(clocks, "redis", before, told_at, after)
        check_version(server, "server", str(told["redis_version"]), REDIS)
        if told.get("role") == "slave":
            server.problem("writing", "the server is a replica", "the URL has to lead to the primary")
        if told.get("cluster_enabled"):
            server.problem("cluster", "it is a node of a Redis Cluster", "only one server, or sentinels, can be used")
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
