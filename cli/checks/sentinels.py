"""The sentinels of a Redis: whether they answer, agree, and have somebody to put in the master's place."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cli.checks.finding import Findings
from shared.errors import reason
from shared.redis_url import RedisAddress

_SECONDS = 2.0


async def check_sentinels(findings: Findings, address: RedisAddress) -> None:
    """Ask each of them; one that is gone is a warning, since the others do its work."""
    replicas: list[int] = []
    for host, port in address.sentinels:
        checked = f"sentinel {host}:{port}"
        client = Redis(
            host=host,
            port=port,
            socket_timeout=_SECONDS,
            socket_connect_timeout=_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **address.sentinel_options,
        )
        try:
            async with client:
                await client.sentinel_ckquorum(address.master)
                every = await client.sentinel_slaves(address.master)
        except (RedisError, OSError, TimeoutError) as error:
            findings.warn(checked, reason(error), "a majority of the sentinels has to answer and to see each other")
            continue
        replicas.append(sum(not (one["is_sdown"] or one["is_odown"]) for one in every))
        findings.ok(checked, "a majority sees each other")
    if replicas and not max(replicas):
        findings.warn("replicas", "there is none that could take the master's place", "attach one, or more")
    elif replicas:
        findings.ok("replicas", f"{max(replicas)}")
