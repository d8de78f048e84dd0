"""The servers behind the platform stop and come back: told within a second, recovered within five."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from aiohttp import ClientSession

from deploy.running.database import create_database, in_database
from deploy.running.environment import BROKER_USERS
from deploy.servers import PostgresServer, RabbitServer, RedisServer
from deploy.servers.places import remove
from shared.bus.permissions import definitions
from tests.conftest import PASSWORD
from tests.e2e.conftest import start
from tests.support.platform import Platform
from tests.support.token_api import Load, TokenApi, expect_away, recovered
from tests.support.urls import ServerUrls

pytestmark = pytest.mark.timeout(240)


class OnItsOwnServers(NamedTuple):
    """A platform, and the servers that nobody else uses."""

    platform: Platform
    postgres: PostgresServer
    redis: RedisServer
    rabbitmq: RabbitServer


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnItsOwnServers]:
    """A whole platform with the demo data on private servers."""
    home = tmp_path_factory.mktemp("servers")
    users = definitions(dict.fromkeys(BROKER_USERS, PASSWORD), ["/"])
    postgres = PostgresServer(home / "postgresql")  # durable: it is killed and has to know all that it confirmed
    redis = RedisServer(home / "redis", fast=True)
    rabbitmq = RabbitServer(home / "rabbitmq", definitions=users)
    with ExitStack() as stack:
        stack.callback(remove, home)
        for server in (rabbitmq, redis, postgres):
            stack.callback(server.stop)
            server.launch()
        for server in (postgres, redis, rabbitmq):
            server.wait_until_ready()
        urls = ServerUrls(in_database(postgres.url, "dragoman"), redis.url, rabbitmq.url)
        create_database(urls.postgres)
        platform = Platform(home / "platform", urls, corner="dragoman_e2e", password=PASSWORD)
        stack.callback(platform.close)
        asyncio.run(start(platform))
        yield OnItsOwnServers(platform, postgres, redis, rabbitmq)


@pytest.fixture
async def own_api(own: OnItsOwnServers, http: ClientSession) -> TokenApi:
    """The token API of that platform, which is well at the beginning of each test."""
    await own.platform.bring(1)
    return TokenApi(own.platform, http)


async def test_without_a_broker_everything_is_503_until_it_is_back(own: OnItsOwnServers, own_api: TokenApi) -> None:
    """RabbitMQ stops and starts: no request waits for it, keys are still served, and a service may start meanwhile."""
    user = await own_api.sign_in()
    asks = [own_api.client_credentials, own_api.password, user.refresh, own_api.send_code]
    for ask in (*asks, own_api.keys):
        assert (await ask()).status == 200
    async with Load(own_api.client_credentials) as load:
        await load.more(3)
        await asyncio.to_thread(own.rabbitmq.stop)
        await load.more(3)
        for ask in asks:
            expect_away(await ask())
        assert (await own_api.keys()).status == 200
        own.platform.end("identity")
        await own.platform.start("identity").logged("started")
        await asyncio.to_thread(own.rabbitmq.start)
        await recovered(asks)
    _expect_gap_without_waiting(load)


async def test_a_broker_that_dies_takes_no_request_along(own: OnItsOwnServers, own_api: TokenApi) -> None:
    """RabbitMQ is killed while requests wait for a service: they are answered at once, not at their deadline."""
    [token] = own.platform.replicas("token")
    token.process.pause()
    in_hand = [asyncio.create_task(ask()) for ask in (own_api.client_credentials, own_api.password)]
    _, waiting = await asyncio.wait(in_hand, timeout=0.2)
    assert len(waiting) == len(in_hand)
    own.rabbitmq.kill()
    for answer in await asyncio.gather(*in_hand):
        expect_away(answer, within=1.2)  # from the sending, 0.2 s before
    token.process.resume()
    await asyncio.to_thread(own.rabbitmq.start)
    await recovered([own_api.client_credentials, own_api.password])


async def test_without_redis_there_are_no_codes_and_passwords_go_on(own: OnItsOwnServers, own_api: TokenApi) -> None:
    """Redis dies: asking for a code is 503, signing in by password works; codes work again when it is back."""
    assert (await own_api.send_code()).status == 200
    async with Load(own_api.password) as sign_ins, Load(own_api.client_credentials) as clients:
        own.redis.kill()
        expect_away(await own_api.send_code())
        expect_away(await own_api.send_code(email="somebody.else@example.com"))
        await sign_ins.more(3)
        await clients.more(3)
        await asyncio.to_thread(own.redis.start)
        await recovered([own_api.send_code])
    assert sign_ins.statuses == {200}
    assert clients.statuses == {200}


async def test_without_the_database_everything_is_503_until_it_is_back(own: OnItsOwnServers, own_api: TokenApi) -> None:
    """PostgreSQL is killed and started again: 503 within a second, keys still served, then all as before."""
    user = await own_api.sign_in()
    asks = [own_api.client_credentials, own_api.password, user.refresh, own_api.send_code]
    for ask in (*asks, own_api.keys):
        assert (await ask()).status == 200
    async with Load(own_api.client_credentials) as load:
        await load.more(3)
        own.postgres.kill()
        for ask in asks:
            expect_away(await ask())
        assert (await own_api.keys()).status == 200
        await asyncio.to_thread(own.postgres.start)
        await recovered(asks)
    _expect_gap_without_waiting(load)


def _expect_gap_without_waiting(load: Load) -> None:
    assert load.statuses == {200, 503}
    for answer in load.answers:
        assert answer.seconds < 1.0
        if answer.status == 503:
            expect_away(answer)
