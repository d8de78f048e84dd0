"""The operator's place on the bus: it calls and is never called."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar, TypeVar

import click
from pydantic_core import PydanticSerializationError

from shared import context
from shared.bus.faults import broker_reason
from shared.bus.messages import Call, Reply
from shared.bus.rabbit import RabbitBus
from shared.clock import SystemClock
from shared.entropy import SystemEntropy
from shared.errors import Error, unavailable
from shared.settings import Settings, SettingsError, environment
from shared.telemetry import Telemetry, configure_logging

R = TypeVar("R", bound=Reply)

_CONNECT_SECONDS = 4.0
_CALL_SECONDS = 10.0


class OperatorSettings(Settings):
    """Settings of the command line, as `DRAGOMAN_OPERATOR_…`; only the broker's URL matters."""

    component: ClassVar[str] = "operator"


@asynccontextmanager
async def operator_bus(environ: Mapping[str, str]) -> AsyncIterator[RabbitBus]:
    """The bus, connected. Raises `SettingsError`, or `unavailable` when the broker cannot be reached."""
    settings = OperatorSettings.load(environ)
    url = settings.rabbitmq_url.get_secret_value()
    async with RabbitBus(url, "operator", Telemetry("operator"), SystemClock()) as bus:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await bus.wait_connected()
        except TimeoutError:
            why = f"no answer within {_CONNECT_SECONDS:.0f} s" if bus.fault is None else broker_reason(bus.fault)
            raise unavailable(f"the broker cannot be reached: {why}") from None
        yield bus


def ask(call: Call[R]) -> R:
    """Make one call; a failure ends the command with its reason and status 1."""
    (reply,) = ask_in_turn(call, lambda _reply: None)
    return reply


def ask_in_turn(first: Call[R], following: Callable[[R], Call[R] | None]) -> list[R]:
    """Make a call, and then the one that follows from each reply until none does, over one connection.

    A failure ends the command with its reason and status 1.
    """

    async def all_calls() -> list[R]:
        replies: list[R] = []
        call: Call[R] | None = first
        async with operator_bus(environment()) as bus:
            while call is not None:
                with context.request(f"cli-{SystemEntropy().token_bytes(8).hex()}", _CALL_SECONDS):
                    replies.append(await bus.call(call))
                call = following(replies[-1])
        return replies

    configure_logging("error")
    try:
        return asyncio.run(all_calls())
    except Error as error:
        raise click.ClickException(error.message) from None
    except PydanticSerializationError:  # bytes that the shell passed on as they are
        raise click.ClickException("an argument is not UTF-8 text") from None
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
