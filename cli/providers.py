"""`dragoman provider …`: external providers, through which users sign in."""

from typing import Any, get_args
from urllib.parse import urlsplit

import click

from cli.clients import JSON
from cli.operator import ask
from cli.output import show, table
from shared.contracts.providers import (
    AddProvider,
    CheckProvider,
    ListProviders,
    Provider,
    ProviderKind,
    RemoveProvider,
)


@click.group()
def provider() -> None:
    """Add, list, test and remove external providers, through which users sign in.

    docs/providers.md tells how each kind is set up.
    """


@provider.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(get_args(ProviderKind)), default="oidc", show_default=True, help="What it speaks."
)
@click.option("--label", help="What people call it.")
@click.option("--icon", help="The name of its icon, for clients that show one.")
@click.option("--client-id", required=True, help="Our client id there.")
@click.option(
    "--secret-name",
    "secret",
    required=True,
    help="The file in DRAGOMAN_IDENTITY_PROVIDER_SECRETS that holds our client secret; never the secret itself.",
)
@click.option("--scope", "scopes", multiple=True, help="A scope to ask for; repeat for several; by default the kind's.")
@click.option("--issuer", help="oidc: its issuer, to the letter; the rest is discovered.")
@click.option("--authorization-endpoint", help="oauth2: where the browser is sent.")
@click.option("--token-endpoint", help="oauth2: where the code is exchanged.")
@click.option("--userinfo-endpoint", help="oauth2: where it says who somebody is.")
@click.option("--subject-field", help="oauth2: the field that names somebody for good. [sub]")
@click.option("--email-field", help="oauth2: the field of the e-mail address. [email]")
@click.option("--email-verified-field", help="oauth2: the field that says it is verified. [email_verified]")
@click.option("--trust-email", is_flag=True, help="Whoever has a user's e-mail address there, verified, is that user.")
@click.option("--allow-new-users", is_flag=True, help="Whoever is nobody yet becomes a user by a verified address.")
@click.option("--replace", is_flag=True, help="Overwrite the one of that name; its users stay linked to it.")
@JSON
def add(name: str, *, replace: bool, as_json: bool, **described: Any) -> None:
    """Add the provider that paths call NAME: a-z, 0-9 and dashes."""
    given = {field: value for field, value in described.items() if value is not None}
    added = ask(AddProvider(provider=Provider.model_validate({"name": name, **given}), replace=replace))
    document = added.model_dump(mode="json")
    lines = [f"{field:<24}{_text(value)}" for field, value in document.items() if value not in (None, "", [])]
    show(document, lines, as_json=as_json)


@provider.command("list")
@JSON
def list_providers(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List the providers."""
    found = ask(ListProviders()).providers
    rows = [("NAME", "KIND", "AT", "CLIENT", "SECRET", "TRUSTS E-MAIL", "NEW USERS")]
    rows += [
        (p.name, p.kind, _host(p), p.client_id, p.secret, _text(p.trust_email), _text(p.allow_new_users)) for p in found
    ]
    show([p.model_dump(mode="json") for p in found], table(rows), as_json=as_json)


@provider.command()
@click.argument("name")
@JSON
@click.pass_context
def test(ctx: click.Context, name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Ask the provider NAME for what a sign-in needs, and say what is wrong: then the status is 1."""
    checked = ask(CheckProvider(name=name))
    lines = [f"{endpoint:<24}{url}" for endpoint, url in checked.endpoints.items()]
    lines += [f"wrong: {problem}" for problem in checked.problems] or [f"{name} can be used"]
    show(checked.model_dump(mode="json"), lines, as_json=as_json)
    if checked.problems:
        ctx.exit(1)


@provider.command()
@click.argument("name")
@JSON
def remove(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove the provider NAME and what links users to it; the users and their sessions stay."""
    ask(RemoveProvider(name=name))
    show({"removed": name}, [f"removed {name}"], as_json=as_json)


def _host(shown: Provider) -> str:
    return urlsplit(shown.issuer or shown.authorization_endpoint or "").netloc or "-"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(value) if isinstance(value, list) else str(value)
