"""`dragoman user …`: users."""

from typing import BinaryIO
from uuid import UUID

import click
from pydantic import SecretStr

from cli.clients import JSON
from cli.operator import ask
from cli.output import read_line, show, table
from shared.contracts.identity import CreateUser, DeleteUser, ListUsers, SuspendUser, User


@click.group()
def user() -> None:
    """Create, suspend, delete and list users."""


@user.command()
@click.option("--email")
@click.option("--phone", help="With country code, or as dialled in the default region.")
@click.option("--username")
@click.option("--password", help="Visible to others on this machine; better --password-file.")
@click.option("--password-file", type=click.File("rb"), help="A file that holds the password (- for standard input).")
@click.option("--password-hash-file", type=click.File("rb"), help="A file that holds a hash brought from elsewhere.")
@click.option("--must-change-password", is_flag=True, help="Admit nobody until the password is changed.")
@click.option("--skip-policy", is_flag=True, help="Take the password even if the policy would refuse it.")
@JSON
def create(
    email: str | None,
    phone: str | None,
    username: str | None,
    password: str | None,
    password_file: BinaryIO | None,
    password_hash_file: BinaryIO | None,
    must_change_password: bool,  # noqa: FBT001 - click passes options by name
    skip_policy: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Create a user, named by at least one of --email, --phone and --username."""
    if password_file:
        if password is not None:
            raise click.UsageError("--password and --password-file exclude each other.")
        password = read_line(password_file)
    password_hash = read_line(password_hash_file).strip() if password_hash_file else None
    created = ask(
        CreateUser(
            email=email,
            phone=phone,
            username=username,
            password=SecretStr(password) if password is not None else None,
            password_hash=SecretStr(password_hash) if password_hash is not None else None,
            must_change_password=must_change_password,
            enforce_policy=not skip_policy,
        )
    )
    _show(created, as_json=as_json)


@user.command()
@click.argument("identifier")
@JSON
def suspend(identifier: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Suspend the user with that id, e-mail address, phone number or username; every session ends."""
    _show(ask(SuspendUser(identifier=identifier)), as_json=as_json)


@user.command()
@click.argument("identifier")
@JSON
def delete(identifier: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Delete the user with that id, e-mail address, phone number or username; every session ends."""
    _show(ask(DeleteUser(identifier=identifier)), as_json=as_json)


@user.command("list")
@click.option("--limit", default=1000, type=click.IntRange(min=1), show_default=True, help="Users at most.")
@JSON
def list_users(limit: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List the users, in order of creation."""
    found: list[User] = []
    after: UUID | None = None
    while len(found) < limit:
        page = ask(ListUsers(after=after, limit=min(1000, limit - len(found))))
        found += page.users
        after = page.next
        if after is None:
            break
    rows = [("ID", "E-MAIL", "PHONE", "USERNAME", "STATE")]
    rows += [(str(u.id), u.email or "", u.phone or "", u.username or "", u.state) for u in found]
    show([u.model_dump(mode="json") for u in found], table(rows), as_json=as_json)


def _show(shown: User, *, as_json: bool) -> None:
    document = shown.model_dump(mode="json")
    show(document, [f"{name:<12}{value}" for name, value in document.items() if value], as_json=as_json)
