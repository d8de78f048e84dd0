"""Operators' work on external providers over the bus, for people and for programs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Command
from tests.support.oidc_provider import CLIENT_ID, CLIENT_SECRET, DISCOVERY, SECRET_NAME, FakeProvider

CLIENT = ("--client-id", "dragoman", "--secret-name", "company")
ISSUER = ("--issuer", "https://sso.example.com/realms/staff")
ENDPOINTS = (
    *("--authorization-endpoint", "https://git.example.com/authorize"),
    *("--token-endpoint", "https://git.example.com/token"),
    *("--userinfo-endpoint", "https://git.example.com/user"),
)


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[FakeProvider]:
    """A provider that runs, whose client secret is mounted."""
    (tmp_path / SECRET_NAME).write_text(f"{CLIENT_SECRET}\n")
    async with FakeProvider() as running:
        yield running


async def test_providers(dragoman: Command) -> None:
    """A provider is added, listed, replaced and removed, for programs."""
    named = ("company", *CLIENT, *ISSUER, "--label", "Company account", "--scope", "openid", "--scope", "email")
    added = (await dragoman("provider", "add", *named, "--trust-email", "--json")).json()
    assert (added["name"], added["kind"], added["secret"]) == ("company", "oidc", "company")
    assert (added["label"], added["scopes"]) == ("Company account", ["openid", "email"])
    assert (added["trust_email"], added["allow_new_users"]) == (True, False)
    assert (await dragoman("provider", "list", "--json")).json() == [added]
    replaced = (await dragoman("provider", "add", "company", *CLIENT, *ISSUER, "--replace", "--json")).json()
    assert (replaced["label"], replaced["trust_email"]) == ("", False)
    assert (await dragoman("provider", "remove", "company", "--json")).json() == {"removed": "company"}
    assert (await dragoman("provider", "list", "--json")).json() == []


async def test_for_people(dragoman: Command) -> None:
    """What was added is shown line by line, and all of them in a table."""
    plain = ("--kind", "oauth2", *ENDPOINTS, "--subject-field", "id", "--allow-new-users")
    added = await dragoman("provider", "add", "forge", *CLIENT, *plain)
    lines = dict(line.split(maxsplit=1) for line in added.out.splitlines())
    assert (lines["kind"], lines["subject_field"], lines["allow_new_users"]) == ("oauth2", "id", "yes")
    await dragoman("provider", "add", "github", "--kind", "github", *CLIENT)
    await dragoman("provider", "add", "company", *CLIENT, *ISSUER, "--trust-email")
    table = (await dragoman("provider", "list")).out.splitlines()
    assert [line.split() for line in table[1:]] == [
        ["company", "oidc", "sso.example.com", "dragoman", "company", "yes", "no"],
        ["forge", "oauth2", "git.example.com", "dragoman", "company", "no", "yes"],
        ["github", "github", "-", "dragoman", "company", "no", "no"],
    ]
    assert (await dragoman("provider", "remove", "forge")).out == "removed forge\n"


async def test_a_provider_that_can_be_used(dragoman: Command, provider: FakeProvider) -> None:
    """Testing it tells where its endpoints are, and ends with status 0."""
    client = ("--client-id", CLIENT_ID, "--secret-name", SECRET_NAME)
    await dragoman("provider", "add", "company", *client, "--issuer", provider.url)
    tested = (await dragoman("provider", "test", "company", "--json")).json()
    assert tested["problems"] == []
    assert tested["endpoints"]["token"] == f"{provider.url}/token"
    shown = await dragoman("provider", "test", "company")
    assert (shown.status, shown.out.splitlines()[-1]) == (0, "company can be used")
    assert CLIENT_SECRET not in shown.out


async def test_a_provider_that_cannot_be_used(dragoman: Command, provider: FakeProvider) -> None:
    """Testing it says what is wrong and ends with status 1, whether it is the provider or what we know of it."""
    client = ("--client-id", CLIENT_ID, "--secret-name")
    await dragoman("provider", "add", "company", *client, "missing", "--issuer", provider.url)
    no_secret = await dragoman("provider", "test", "company")
    assert (no_secret.status, no_secret.err) == (1, "")
    assert no_secret.out.splitlines()[-1].startswith("wrong: ")
    await dragoman("provider", "add", "company", *client, SECRET_NAME, "--issuer", provider.url, "--replace")
    provider.status[DISCOVERY] = 500
    await dragoman("provider", "add", "other", *client, SECRET_NAME, "--issuer", f"{provider.url}/other")
    for name in ("company", "other"):
        ended = await dragoman("provider", "test", name)
        assert (ended.status, ended.out.startswith("wrong: ")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("add", "Company", *CLIENT, *ISSUER), "name: "),
        (("add", "company", *CLIENT), "issuer: "),
        (("add", "company", *CLIENT, "--issuer", "http://sso.example.com"), "issuer: https is required"),
        (("add", "company", *CLIENT[:3], "../company", *ISSUER), "secret: "),
        (("add", "forge", *CLIENT, "--kind", "oauth2", *ENDPOINTS[:4]), "userinfo_endpoint: "),
        (("add", "taken", *CLIENT, *ISSUER, "--trust-email"), "there is a provider of that name"),
        (("test", "nobody"), "there is no provider of that name"),
        (("remove", "nobody"), "there is no provider of that name"),
    ],
)
async def test_what_makes_no_sense(dragoman: Command, arguments: tuple[str, ...], problem: str) -> None:
    """What cannot be is refused with status 1 and one line that says why, and nothing changes."""
    before = (await dragoman("provider", "add", "taken", *CLIENT, *ISSUER, "--json")).json()
    ended = await dragoman("provider", *arguments)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith(f"Error: {problem}")
    assert (await dragoman("provider", "list", "--json")).json() == [before]
