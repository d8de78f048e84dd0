"""Overload as it shows over the real broker, which could also have kept the surplus to itself."""

import asyncio
from uuid import UUID

from pydantic import SecretStr

from services.password.__main__ import open_password
from services.password.settings import PasswordSettings
from shared.bus.bus import Bus
from shared.contracts.password import SetPassword, VerifyPassword
from shared.errors import Error, ErrorCode
from shared.process import Kit
from shared.settings import Settings
from shared.telemetry import Telemetry
from tests.conftest import broker_url

USER = UUID(int=1)
PASSWORD = SecretStr("a sentence nobody else would choose")


class IdentitySettings(Settings):
    """What the caller's place on the bus needs."""

    component = "identity"


async def test_overload_is_told_by_the_service(postgres_url: str, rabbitmq_url: str) -> None:
    """Of forty sign-ins at once some succeed and the others hear `overloaded` while they could still wait."""
    environ = {
        "DRAGOMAN_POSTGRES_URL": postgres_url,
        "DRAGOMAN_RABBITMQ_URL": broker_url(rabbitmq_url, "password"),
        "DRAGOMAN_PASSWORD_WORKERS": "1",
        "DRAGOMAN_PASSWORD_QUEUE": "4",
        "DRAGOMAN_PASSWORD_MEMORY_KIB": "65536",
    }
    caller = IdentitySettings.load({"DRAGOMAN_RABBITMQ_URL": broker_url(rabbitmq_url, "identity")})
    identity = Kit(Telemetry("identity")).bus(caller)
    async with open_password(PasswordSettings.load(environ), Kit(Telemetry("password"))), identity:
        async with asyncio.timeout(20):
            await identity.wait_connected()
            await _set_when_served(identity)
        calls = (identity.call(VerifyPassword(user_id=USER, password=PASSWORD)) for _ in range(40))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {error.code for error in refused if isinstance(error, Error)} == {ErrorCode.OVERLOADED}
    assert 5 <= len(outcomes) - len(refused) < 40


async def _set_when_served(identity: Bus) -> None:
    """Give the user a password as soon as the service has found the broker."""
    while True:
        try:
            await identity.call(SetPassword(user_id=USER, password=PASSWORD))
            return
        except Error as error:
            if error.code != ErrorCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)
