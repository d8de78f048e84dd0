"""`dragoman dead-letters …`: events that were given up."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from cli.clients import JSON
from cli.operator import OperatorSettings
from cli.output import show, table
from shared.bus.dead_letters import DeadLetter, DeadLetters, Look
from shared.bus.permissions import HEARERS
from shared.errors import Error
from shared.settings import SettingsError, environment
from shared.telemetry import configure_logging

T = TypeVar("T")

SERVICE = click.argument("service", type=click.Choice(HEARERS))
EVENT_ID = click.argument("event_id", required=False)
EVERY = click.option("--all", "every", is_flag=True, help="All that the service has now.")

_SECRET = re.compile(
    r"secret|passw|token|hash|proof|credential|otp|(^|_)(key|code|pin|jwt|salt|signature)$", re.IGNORECASE
)
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_MASK = "***"


@click.group("dead-letters")
def dead_letters() -> None:
    """List events that a service has given up, put them back, or drop them.

    An event is given up after its last attempt, or at once when it is no event at all. It stays until somebody decides.
    """


@dead_letters.command("list")
@click.argument("service", required=False, type=click.Choice(HEARERS))
@click.option(
    "--limit", default=100, type=click.IntRange(min=1), show_default=True, help="How many of each service at most."
)
@click.option("--body", "bodies", is_flag=True, help="What is in them too; what looks secret is masked.")
@JSON
def list_letters(service: str | None, limit: int, bodies: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List what a service, or each, has given up: which event, after how many attempts, why and when.

    Nothing is changed. Whoever else looks at the same moment may see fewer.
    """
    services = [service] if service else list(HEARERS)

    async def look(letters: DeadLetters) -> list[Look]:
        return [await letters.look(each, limit) for each in services]

    looks = _visit(look)
    found = [letter for seen in looks for letter in seen.letters]
    more = sum(seen.more for seen in looks)
    rows = [("SERVICE", "ID", "SUBJECT", "ATTEMPTS", "PARKED", "REASON")]
    rows += [
        (
            each.service,
            each.id,
            each.subject,
            _number(each.attempts),
            _moment(each) or "-",
            " ".join(each.reason.split()),
        )
        for each in found
    ]
    lines = table(rows)
    if bodies:
        lines = [lines[0], *(line for i, each in enumerate(found, 1) for line in (lines[i], f"  {_text(each.body)}"))]
    if more:
        lines.append(f"and {more} more")
    show({"dead_letters": [_document(each, bodies=bodies) for each in found], "more": more}, lines, as_json=as_json)


@dead_letters.command()
@SERVICE
@EVENT_ID
@EVERY
@JSON
def replay(service: str, event_id: str | None, every: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Give SERVICE one event again, or all, under the same id and with all its attempts before it.

    A service that has handled an event of that id does nothing.
    """
    which = _which(event_id, every=every)
    _show("replayed", _settled(service, which, _visit(lambda letters: letters.replay(service, which))), as_json=as_json)


@dead_letters.command()
@SERVICE
@EVENT_ID
@EVERY
@JSON
def drop(service: str, event_id: str | None, every: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove one event that SERVICE has given up, or all, for good."""
    which = _which(event_id, every=every)
    _show("dropped", _settled(service, which, _visit(lambda letters: letters.drop(service, which))), as_json=as_json)


def _visit(work: Callable[[DeadLetters], Awaitable[T]]) -> T:
    async def visit() -> T:
        url = OperatorSettings.load(environment()).rabbitmq_url.get_secret_value()
        async with DeadLetters.open(url) as letters:
            return await work(letters)

    configure_logging("error")
    try:
        return asyncio.run(visit())
    except Error as error:
        raise click.ClickException(error.message) from None
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def _which(event_id: str | None, *, every: bool) -> str | None:
    """The id to look for; None for all."""
    if every == (event_id is not None):
        raise click.UsageError("name one event by its id, or give --all")
    return event_id


def _settled(service: str, which: str | None, settled: list[DeadLetter]) -> list[DeadLetter]:
    if which is not None and not settled:
        raise click.ClickException(f"{service} has given up no such event")
    return settled


def _show(done: str, settled: list[DeadLetter], *, as_json: bool) -> None:
    lines = [f"{done} {each.id}  {each.subject}" for each in settled] or [f"nothing to be {done}"]
    show({done: [_document(each, bodies=False) for each in settled]}, lines, as_json=as_json)


def _document(letter: DeadLetter, *, bodies: bool) -> dict[str, Any]:
    document = {
        "service": letter.service,
        "id": letter.id,
        "subject": letter.subject,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "parked_at": _moment(letter),
    }
    return document | {"body": _readable(letter.body)} if bodies else document


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _moment(letter: DeadLetter) -> str | None:
    return letter.parked_at.strftime("%Y-%m-%dT%H:%M:%SZ") if letter.parked_at else None


def _text(body: bytes) -> str:
    readable = _readable(body)
    return readable if isinstance(readable, str) else json.dumps(readable)


def _readable(body: bytes) -> Any:
    """The document, with the values of what looks secret masked; what is no JSON object is not shown at all."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    return _masked(document) if isinstance(document, dict) else f"{len(body)} bytes that are no JSON object"


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _MASK if _SECRET.search(name) and each else _masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return _JWT.sub(_MASK, value) if isinstance(value, str) else value
