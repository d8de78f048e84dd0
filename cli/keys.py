"""`dragoman keys …`: the keys that sign access tokens."""

from datetime import datetime
from typing import get_args

import click

from cli.clients import JSON
from cli.operator import ask
from cli.output import show, table
from shared.bus.messages import Call
from shared.contracts.token import (
    ListSigningKeys,
    RetireSigningKey,
    RevokeSigningKey,
    RewrapSigningKeys,
    RotateSigningKey,
    SigningAlgorithm,
    SigningKeyList,
)


@click.group()
def keys() -> None:
    """List, rotate, retire and revoke the keys that sign access tokens.

    One key is active and signs. At least one more is next: it is published already, so that verifiers know it before
    it signs. A retired key stays published until the last token that it signed is dead. Each command prints the keys
    as they are after it.
    """


@keys.command("list")
@JSON
def list_keys(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List the keys that are published, the active one first."""
    _ask(ListSigningKeys(), as_json=as_json)


@keys.command()
@click.option("--algorithm", type=click.Choice(get_args(SigningAlgorithm)), help="By default the one in use.")
@click.option(
    "--now", "at_once", is_flag=True, help="Sign with it at once, for emergencies: verifiers may not know it."
)
@JSON
def rotate(algorithm: SigningAlgorithm | None, at_once: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Have the next key sign, once it was published for DRAGOMAN_TOKEN_KEY_PUBLISH_SECONDS, and publish another.

    With another --algorithm a new key is published now, and next keys of the old algorithm are dropped.
    """
    _ask(RotateSigningKey(algorithm=algorithm, at_once=at_once), as_json=as_json)


@keys.command()
@click.argument("kid")
@JSON
def retire(kid: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Let a key sign no more; what it signed stays good.

    If it is the active one, the next key takes over at once.
    """
    _ask(RetireSigningKey(kid=kid), as_json=as_json)


@keys.command()
@click.argument("kid")
@JSON
def revoke(kid: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Refuse whatever a leaked key signed, from this moment, and publish it no more.

    If it is the active one, the next key takes over at once. Sessions live on: their clients refresh.
    """
    _ask(RevokeSigningKey(kid=kid), as_json=as_json)


@keys.command()
@JSON
def rewrap(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Encrypt the private keys under the current wrapping key.

    For a change of DRAGOMAN_TOKEN_WRAPPING_KEY, once every replica has the old one in
    DRAGOMAN_TOKEN_WRAPPING_KEY_PREVIOUS; that is not needed any more when this has ended.
    """
    _ask(RewrapSigningKeys(), as_json=as_json)


def _ask(call: Call[SigningKeyList], *, as_json: bool) -> None:
    found = ask(call).keys
    rows = [("KID", "ALGORITHM", "STATE", "PUBLISHED", "SIGNS FROM", "RETIRED", "WRAPPED BY")]
    rows += [
        (
            key.kid,
            key.algorithm,
            key.state,
            _moment(key.created_at),
            _moment(key.activates_at),
            _moment(key.retired_at),
            key.wrapped_by or "-",
        )
        for key in found
    ]
    show([key.model_dump(mode="json") for key in found], table(rows), as_json=as_json)


def _moment(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else "-"
