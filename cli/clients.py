"""`dragoman client …`: OAuth clients."""

from typing import BinaryIO, get_args

import click
from pydantic import SecretStr

from cli.operator import ask
from cli.output import read_line, show, table
from shared.contracts.token import Client, CreateClient, Grant, ListClients, RotateClientSecret, WithdrawClientSecrets

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def client() -> None:
    """Create, list and re-key OAuth clients."""


@client.command()
@click.argument("client_id")
@click.option("--name", default="", help="What people call it.")
@click.option(
    "--grant",
    "grants",
    multiple=True,
    type=click.Choice(get_args(Grant)),
    default=("client_credentials", "refresh_token"),
    show_default=True,
    help="A grant it may use; repeat for several. The password grant is for old clients only (RFC 9700 §2.4).",
)
@click.option("--scope", "scopes", multiple=True, help="A scope it may ask for; repeat for several.")
@click.option("--audience", "audiences", multiple=True, help="Who its tokens are for; the platform itself by default.")
@click.option(
    "--secret-file",
    type=click.File("rb"),
    help="Bring a secret along, in a file (- for standard input); else generated.",
)
@JSON
def create(
    client_id: str,
    name: str,
    grants: tuple[Grant, ...],
    scopes: tuple[str, ...],
    audiences: tuple[str, ...],
    secret_file: BinaryIO | None,
    as_json: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Register a client and print its secret, this once."""
    secret = SecretStr(read_line(secret_file)) if secret_file else None
    created = ask(
        CreateClient(
            client_id=client_id,
            name=name,
            client_secret=secret,
            grants=list(grants),
            scopes=list(scopes),
            audiences=list(audiences),
        )
    )
    _show_with_secret(created, as_json=as_json)


@client.command("rotate-secret")
@click.argument("client_id")
@click.option(
    "--overlap",
    default=86400,
    type=click.IntRange(min=0),
    show_default=True,
    help="Seconds for which the old secret still works.",
)
@JSON
def rotate_secret(client_id: str, overlap: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Give a client a second secret, and the first one an end."""
    _show_with_secret(ask(RotateClientSecret(client_id=client_id, overlap=overlap)), as_json=as_json)


@client.command("withdraw-secrets")
@click.argument("client_id")
@JSON
def withdraw_secrets(client_id: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """End every secret of a client but the newest, at once, and every token that it got so far."""
    _show_with_secret(ask(WithdrawClientSecrets(client_id=client_id)), as_json=as_json)


@client.command("list")
@JSON
def list_clients(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List the clients."""
    found = ask(ListClients()).clients
    rows = [("CLIENT", "GRANTS", "SCOPES", "LIVE SECRETS")]
    rows += [(c.client_id, " ".join(c.grants), " ".join(c.scopes), str(len(c.secrets))) for c in found]
    documents = [c.model_dump(mode="json", exclude={"client_secret"}) for c in found]
    show(documents, table(rows), as_json=as_json)


def _show_with_secret(created: Client, *, as_json: bool) -> None:
    lines = [f"client_id      {created.client_id}"]
    if created.client_secret is not None:
        lines.append(f"client_secret  {created.client_secret.get_secret_value()}")
        lines.append("The secret is not shown again.")
    show(created.model_dump(mode="json"), lines, as_json=as_json)
