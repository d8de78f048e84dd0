"""How components start: in any order, all in one process, and not at all with mistakes in the environment."""

import asyncio
import re

import pytest
from aiohttp import ClientSession

from deploy.running.components import program
from deploy.running.environment import COMPONENTS
from tests.support.platform import Platform
from tests.support.token_api import CLIENT, USER, TokenApi, expect_away

pytestmark = pytest.mark.timeout(180)


async def test_components_start_in_any_order_before_the_database_is_migrated(
    bare_platform: Platform, http: ClientSession
) -> None:
    """The gateway first, the others on an empty database: 503 meanwhile, and all works once it is migrated."""
    platform, api = bare_platform, TokenApi(bare_platform, http)
    await platform.start("gateway").logged("listening")
    expect_away(await api.client_credentials())
    expect_away(await api.keys())
    for name in ("password", "otp", "identity", "token"):
        await platform.start(name).logged("broker connected")
        expect_away(await api.client_credentials())
    expect_away(await api.password())

    await platform.migrate()
    async with asyncio.timeout(5):
        for name in COMPONENTS:
            [replica] = platform.replicas(name)
            await replica.ready()
    await platform.load_demo()
    assert (await api.password()).status == 200
    assert (await api.keys()).status == 200


async def test_one_process_runs_all_components(bare_platform: Platform, http: ClientSession) -> None:
    """`dragoman all` serves a sign-in by itself, logs for each component, and ends with 0 when it is told to go."""
    platform, api = bare_platform, TokenApi(bare_platform, http)
    await platform.migrate()
    process = platform.start("all")
    await process.logged("listening")
    await platform.load_demo()
    body = {"grant_type": "password", **CLIENT, **USER}
    answer = await api.request("POST", "/oauth/v2/token", body, {"X-Request-Id": "sign-in-in-one-process"})
    assert answer.status == 200
    trace = [line["component"] for line in process.lines() if line.get("request_id") == "sign-in-in-one-process"]
    assert sorted(trace) == ["gateway", "identity", "password", "token"]
    process.process.terminate()
    assert await process.ended() == 0


@pytest.mark.parametrize("arguments", [["otp"], ["otp", "--check"], ["all"]])
async def test_a_component_names_every_mistake_in_its_environment(arguments: list[str]) -> None:
    """A broken environment ends the process with 2, and one reading of its output is enough to mend it all."""
    broken = {
        "DRAGOMAN_RABBITMQ_URL": "amqp://otp:a-secret-password@127.0.0.1/",
        "DRAGOMAN_OTP_CODE_KEY": "too-short-a-secret",
        "DRAGOMAN_OTP_CODE_TTL_SECONDS": "3600",
        "DRAGOMAN_OTP_ADMIN_PORT": "99999",
        "DRAGOMAN_OTP_SMTP_PROT": "25",
        "DRAGOMAN_OTP_SMTP_PASSWORD_FILE": "/there/is/no/such/file",
    }
    process = await asyncio.create_subprocess_exec(
        program("dragoman"),
        *arguments,
        env={"PATH": "/usr/bin:/bin", **broken},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, mistakes = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert output == b""
    named = set(re.findall(r"^(DRAGOMAN_\w+)", mistakes.decode(), re.MULTILINE))
    assert named >= set(broken) - {"DRAGOMAN_RABBITMQ_URL"} | {"DRAGOMAN_POSTGRES_URL", "DRAGOMAN_REDIS_URL"}
    assert ("DRAGOMAN_ISSUER" in named) == (arguments == ["all"])
    assert b"secret" not in mistakes
