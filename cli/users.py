"""`dragoman user …`: users."""

from typing import BinaryIO

import click
from pydantic import SecretStr

from cli.clients import JSON
from cli.operator import ask, ask_in_turn
from cli.output import read_line, show, table
from shared.contracts.identity import (
    CreateUser,
    DeleteUser,
    ListUsers,
    RewrapSecrets,
    SetSecondFactors,
    SuspendUser,
    User,
    UserList,
)

_PAGE = 1000


@click.group()
def user() -> None:
    """Create, suspend, delete and list users, set their second factors, and encrypt secrets anew."""


@user.command()
@click.option("--email")
@click.option("--phone", help="With country code, or as dialled in the default region.")
@click.option("--username")
@click.option("--password", help="Visible to others on this machine; better --password-file.")
@click.option("--password-file", type=click.File("rb"), help="A file that holds the password (- for standard input).")
@click.option("--password-hash-file", type=click.File("rb"), help="A file that holds a hash brought from elsewhere.")
@click.option("--must-change-password", is_flag=True, help="Admit nobody until the password is changed.")
@click.option("--skip-policy", is_flag=True, help="Take the password even if the policy would refuse it.")
@click.option("--email-second-factor", is_flag=True, help="Ask for an e-mailed code at each sign-in.")
@click.option("--totp-secret-file", type=click.File("rb"), help="A file that holds a TOTP secret in base32.")
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
    email_second_factor: bool,  # noqa: FBT001
    totp_secret_file: BinaryIO | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Create a user, named by at least one of --email, --phone and --username."""
    if password_file:
        if password is not None:
            raise click.UsageError("--password and --password-file exclude each other.")
        password = read_line(password_file)
    password_hash = read_line(password_hash_file).strip() if password_hash_file else None
    totp_secret = read_line(totp_secret_file).strip() if totp_secret_file else None
    created = ask(
        CreateUser(
            email=email,
            phone=phone,
            username=username,
            password=SecretStr(password) if password is not None else None,
            password_hash=SecretStr(password_hash) if password_hash is not None else None,
            must_change_password=must_change_password,
            enforce_policy=not skip_policy,
            email_second_factor=email_second_factor,
            totp_secret=SecretStr(totp_secret) if totp_secret is not None else None,
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


@user.command("second-factors")
@click.argument("identifier")
@click.option("--email/--no-email", default=None, help="Ask for an e-mailed code at each sign-in, or no longer.")
@click.option("--remove-totp", is_flag=True, help="Forget the authenticator and its recovery codes, which were lost.")
@JSON
def second_factors(
    identifier: str,
    email: bool | None,  # noqa: FBT001 - click passes options by name
    remove_totp: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Set the second factors of the user with that id, e-mail address, phone number or username."""
    if email is None and not remove_totp:
        raise click.UsageError("Nothing to do: give --email, --no-email or --remove-totp.")
    _show(ask(SetSecondFactors(identifier=identifier, email=email, remove_totp=remove_totp)), as_json=as_json)


@user.command("list")
@click.option("--limit", default=1000, type=click.IntRange(min=1), show_default=True, help="Users at most.")
@JSON
def list_users(limit: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List the users, in order of creation."""
    found: list[User] = []

    def following(page: UserList) -> ListUsers | None:
        found.extend(page.users)
        left = limit - len(found)
        return ListUsers(after=page.next, limit=min(_PAGE, left)) if page.next is not None and left else None

    ask_in_turn(ListUsers(limit=min(_PAGE, limit)), following)
    rows = [("ID", "E-MAIL", "PHONE", "USERNAME", "STATE", "SECOND FACTORS")]
    rows += [
        (str(u.id), u.email or "", u.phone or "", u.username or "", u.state, " ".join(u.second_factors)) for u in found
    ]
    show([u.model_dump(mode="json") for u in found], table(rows), as_json=as_json)


@user.command()
@JSON
def rewrap(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Encrypt everybody's TOTP secret under the current secret key.

    For a change of DRAGOMAN_IDENTITY_SECRET_KEY, once every replica has the old one in
    DRAGOMAN_IDENTITY_SECRET_KEY_PREVIOUS; that is not needed any more when this has ended. Ends with status 1 when a
    secret could be read with neither.
    """
    pages = ask_in_turn(RewrapSecrets(), lambda page: RewrapSecrets(after=page.next) if page.next else None)
    rewrapped, unreadable = sum(page.rewrapped for page in pages), sum(page.unreadable for page in pages)
    said = f"{rewrapped} secrets encrypted anew, {unreadable} that neither key can read"
    show({"rewrapped": rewrapped, "unreadable": unreadable}, [said], as_json=as_json)
    if unreadable:
        raise click.exceptions.Exit(1)


def _show(shown: User, *, as_json: bool) -> None:
    document = shown.model_dump(mode="json")
    texts = {name: " ".join(value) if isinstance(value, list) else value for name, value in document.items()}
    show(document, [f"{name:<16}{text}" for name, text in texts.items() if text], as_json=as_json)
