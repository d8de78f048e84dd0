"""`dragoman broker apply` on a broker that was just installed: nobody but its administrator is known there yet."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused
from click import ClickException

from cli.broker import broker_definitions, send_definitions
from deploy.servers.places import free_port
from shared.bus.permissions import COMPONENTS
from shared.entropy import SystemEntropy
from tests.integration.cli.test_commands import run
from tests.support.managed_broker import ManagedBroker

PASSWORD = "for-tests-only"
READY_SECONDS = 120.0


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedBroker]:
    """A broker of the module's own, that may still be starting."""
    server = ManagedBroker(tmp_path_factory.mktemp("broker"))
    server.launch()
    try:
        yield server
    finally:
        server.stop()


def urls(server: ManagedBroker) -> dict[str, str]:
    """The components' settings."""
    return {
        f"DRAGOMAN_{name.upper()}_RABBITMQ_URL": f"amqp://{name}:{PASSWORD}@127.0.0.1:{server.port}/ids"
        for name in COMPONENTS
    }


async def test_apply(managed: ManagedBroker, tmp_path: Path) -> None:
    """Started together with the broker it waits; then each user gets in, to what is theirs and to nothing else."""
    password_file = tmp_path / "url"
    password_file.write_text(managed.management_url + "\n")
    environment = urls(managed) | {"DRAGOMAN_BROKER_MANAGEMENT_URL_FILE": str(password_file)}
    ended = await asyncio.to_thread(run, "broker", "apply", **environment)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout == "the broker knows gateway, token, identity, otp, password, operator\n"

    async with await aio_pika.connect(environment["DRAGOMAN_OTP_RABBITMQ_URL"]) as connection:
        channel = await connection.channel()
        await channel.declare_exchange("otp", aio_pika.ExchangeType.TOPIC, durable=True)
        with pytest.raises(ChannelAccessRefused):
            await channel.declare_exchange("token", aio_pika.ExchangeType.TOPIC, durable=True)
    with pytest.raises(AMQPError):
        await aio_pika.connect(f"amqp://otp:another@127.0.0.1:{managed.port}/ids")
    with pytest.raises(AMQPError):
        await aio_pika.connect(f"amqp://otp:{PASSWORD}@127.0.0.1:{managed.port}/")


async def test_apply_again(managed: ManagedBroker) -> None:
    """Under traffic it may be applied once more: who is connected stays so, and who comes later gets in as before."""
    await asyncio.to_thread(managed.wait_until_ready, READY_SECONDS)
    document = broker_definitions(urls(managed), SystemEntropy())
    await send_definitions(managed.management_url, document, READY_SECONDS)
    url = urls(managed)["DRAGOMAN_TOKEN_RABBITMQ_URL"]
    async with await aio_pika.connect(url) as connected:
        document = broker_definitions(urls(managed), SystemEntropy())
        await send_definitions(managed.management_url, document, READY_SECONDS)
        channel = await connected.channel()
        await channel.declare_exchange("token", aio_pika.ExchangeType.TOPIC, durable=True)
        async with await aio_pika.connect(url) as later:
            assert not later.is_closed
        assert not connected.is_closed


async def test_apply_without_the_right_to(managed: ManagedBroker) -> None:
    """A management user with a wrong password is told at once, without the password."""
    await asyncio.to_thread(managed.wait_until_ready, READY_SECONDS)
    await send_definitions(managed.management_url, {"users": []}, READY_SECONDS)
    wrong = f"http://dragoman:hidden@127.0.0.1:{managed.management_port}"
    ended = await asyncio.to_thread(run, "broker", "apply", **urls(managed), DRAGOMAN_BROKER_MANAGEMENT_URL=wrong)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: the broker does not take the definitions: 401 ")
    assert "hidden" not in ended.stderr


async def test_apply_to_somebody_else(managed: ManagedBroker) -> None:
    """An address that answers, and is no management API, is not taken for success."""
    await asyncio.to_thread(managed.wait_until_ready, READY_SECONDS)
    await send_definitions(managed.management_url, {"users": []}, READY_SECONDS)
    with pytest.raises(ClickException, match="does not take the definitions: 405"):
        await send_definitions(f"{managed.management_url}/elsewhere", {}, 0.1)


async def test_apply_to_nobody() -> None:
    """A broker that stays away is told in the end, in one line."""
    address = f"http://admin:hidden@127.0.0.1:{free_port()}"
    with pytest.raises(ClickException, match="the broker's management API does not answer") as told:
        await send_definitions(address, {}, 0.1)
    assert "hidden" not in told.value.message
