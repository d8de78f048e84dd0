"""All checks in turn. Apart from the command, since nothing else needs the drivers of all servers."""

from collections.abc import Mapping

from cli.checks.broker import check_broker
from cli.checks.deployment import read_deployment
from cli.checks.finding import Finding, Findings
from cli.checks.keys import check_keys
from cli.checks.mail import check_delivery
from cli.checks.postgres import check_postgres
from cli.checks.redis import check_redis
from shared.clock import Clock
from shared.entropy import Entropy


async def examine(environ: Mapping[str, str], clock: Clock, entropy: Entropy) -> list[Finding]:
    """Look at whatever `environ` names, one part after the other."""
    settings = Findings("settings")
    deployment = read_deployment(environ, settings)
    areas = [settings, *await check_broker(deployment)]
    if deployment.operator is not None:
        areas += await check_keys(environ, f"doctor-{entropy.token_bytes(8).hex()}")
    areas += await check_postgres(deployment, clock)
    areas += await check_redis(deployment, clock)
    areas += await check_delivery(deployment)
    return [finding for area in areas for finding in area.every]
