"""The demo data of `make run`: what the seeds' examples name. Loading it again puts it back."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from cli.operator import operator_bus
from shared import context
from shared.bus.messages import Call
from shared.contracts.identity import CreateUser
from shared.contracts.token import CreateClient
from shared.errors import Error, ErrorCode
from shared.settings import SettingsError, environment
from shared.telemetry import configure_logging

_SECONDS = 30.0
_RETRIED = {ErrorCode.UNAVAILABLE, ErrorCode.OVERLOADED, ErrorCode.DEADLINE_EXCEEDED, ErrorCode.CONFLICT}
"""A conflict is that with another load: `make seeds` may come while `make run` is not through with its own."""


def demo_calls() -> list[Call[Any]]:
    """One call per client and user, each of which may be repeated."""
    return [
        CreateClient(
            client_id="abc123",
            name="Demo client of the token API",
            client_secret=SecretStr("456789"),
            grants=["client_credentials", "password", "refresh_token"],
            replace=True,
        ),
        _user("def56789", email="someone@example.com"),
        _user("Secret123", email="foo@bar.com", email_second_factor=True),
        _user("j8BDWYrQwDF5u4Yu", username="admin", email="admin@example.com"),
        _user("Temp-Pass-1234", username="temp", must_change_password=True),
        _user("Otto-Pass-1234", email="otto@example.com", totp_secret=SecretStr("JBSWY3DPEHPK3PXP")),
    ]


def _user(password: str, **attributes: Any) -> CreateUser:
    return CreateUser(password=SecretStr(password), enforce_policy=False, replace=True, **attributes)


async def load(environ: Mapping[str, str]) -> None:
    """Load everything, waiting for services that are still starting. Raises the last error after half a minute."""
    async with operator_bus(environ) as bus:
        end = asyncio.get_running_loop().time() + _SECONDS
        for call in demo_calls():
            while True:
                try:
                    with context.request("demo", _SECONDS):
                        await bus.call(call)
                    break
                except Error as error:
                    if error.code not in _RETRIED or asyncio.get_running_loop().time() > end:
                        raise
                    await asyncio.sleep(0.1)


def main(environ: Mapping[str, str]) -> str | None:
    """Load everything; returns what went wrong, None when nothing did."""
    configure_logging("error")
    try:
        asyncio.run(load(environ))
    except (Error, SettingsError) as error:
        return f"the demo data could not be loaded: {error!s}"
    return None


if __name__ == "__main__":
    sys.exit(main(environment()))
