"""`dragoman revoke …`: ends tokens at once, everywhere."""

import click

from cli.clients import JSON
from cli.operator import ask
from cli.output import show
from shared.contracts.token import Revoke


@click.command()
@click.argument("kind", type=click.Choice(["session", "user", "client", "token"]))
@click.argument("value")
@JSON
def revoke(kind: str, value: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Refuse all that VALUE names: a session id, a user id with its sessions, a client id, or a token id.

    For a user and a client that is what they were given until now; they may come back with their proof.
    """
    ask(Revoke.model_validate({"kind": kind, "value": value}))
    show({"kind": kind, "revoked": value}, [f"revoked {kind} {value}"], as_json=as_json)
