"""Operators' work over the bus: clients and users, for people and for programs."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.conftest import broker_url
from tests.integration.cli.conftest import Command, Ended

PASSWORD = b"a sentence nobody else would choose\n"


def failed(ended: Ended, reason: str) -> bool:
    """Whether the command ended with status 1 and one line that says why, and printed nothing else."""
    return (ended.status, ended.out, ended.err) == (1, "", f"Error: {reason}\n")


async def test_clients(dragoman: Command) -> None:
    """A client is created with a secret that is shown this once, re-keyed and listed."""
    created = await dragoman("client", "create", "web", "--scope", "read", "--scope", "write")
    lines = dict(line.split(maxsplit=1) for line in created.out.splitlines()[:2])
    assert (created.status, created.err, lines["client_id"]) == (0, "", "web")
    assert lines["client_secret"].startswith("dragoman_cs_")
    assert created.out.count(lines["client_secret"]) == 1
    rotated = (await dragoman("client", "rotate-secret", "web", "--overlap", "60", "--json")).json()
    assert rotated["client_secret"] != lines["client_secret"]
    assert len(rotated["secrets"]) == 2
    listed, table = await dragoman("client", "list", "--json"), await dragoman("client", "list")
    (client,) = listed.json()
    assert (client["client_id"], client["scopes"], len(client["secrets"])) == ("web", ["read", "write"], 2)
    assert client["grants"] == ["client_credentials", "refresh_token"]
    assert table.out.splitlines()[1].split() == ["web", "client_credentials", "refresh_token", "read", "write", "2"]
    for secret in (lines["client_secret"], rotated["client_secret"]):
        assert secret not in listed.out + table.out


async def test_client_with_a_secret_of_its_own(dragoman: Command, tmp_path: Path) -> None:
    """A secret brought along is read from a file or from standard input and not repeated."""
    (tmp_path / "secret").write_text("456789\n")
    from_file = await dragoman("client", "create", "abc123", "--secret-file", str(tmp_path / "secret"), "--json")
    from_input = await dragoman("client", "create", "abc124", "--secret-file", "-", given=b"456789\n")
    assert from_file.json()["client_secret"] is None
    assert from_input.out == "client_id      abc124\n"


async def test_refused_client_commands(dragoman: Command) -> None:
    """What cannot be done ends with status 1 and one line that says why."""
    await dragoman("client", "create", "web")
    assert failed(await dragoman("client", "create", "web"), "the client id is taken")
    assert failed(await dragoman("client", "rotate-secret", "nobody"), "there is no such client")
    assert failed(await dragoman("client", "create", os.fsdecode(b"\xff")), "an argument is not UTF-8 text")
    ended = await dragoman("client", "create", "x", "--secret-file", "-", given=b"\n")
    assert failed(ended, "an empty secret opens nothing")
    ended = await dragoman("client", "create", "not a client id")
    assert failed(ended, "a client id is 1 to 100 of A-Z, a-z, 0-9, dot, dash, underscore, tilde, and not a UUID")


async def test_users(dragoman: Command) -> None:
    """A user is created, suspended by any name and listed."""
    created = (
        await dragoman(
            *("user", "create", "--email", "Someone@Example.com", "--username", "someone", "--json"),
            *("--password-file", "-"),
            given=PASSWORD,
        )
    ).json()
    assert (created["email"], created["state"]) == ("someone@example.com", "active")
    suspended = await dragoman("user", "suspend", "SOMEONE@example.com")
    assert suspended.status == 0
    assert "suspended" in suspended.out
    assert (await dragoman("user", "create", "--username", "other")).status == 0
    listed, table = await dragoman("user", "list", "--json"), await dragoman("user", "list")
    first = await dragoman("user", "list", "--json", "--limit", "1")
    assert [user["username"] for user in listed.json()] == ["someone", "other"]
    assert first.json() == listed.json()[:1]
    assert listed.json()[0]["state"] == "suspended"
    assert table.out.splitlines()[1].split() == [created["id"], "someone@example.com", "someone", "suspended"]


async def test_second_factors(dragoman: Command, tmp_path: Path) -> None:
    """Second factors are set when a user is created or later, shown, and taken away when they are lost."""
    (tmp_path / "secret").write_text("JBSWY3DPEHPK3PXP\n")
    named = ("--email", "someone@example.com", "--totp-secret-file", str(tmp_path / "secret"), "--email-second-factor")
    created = (await dragoman("user", "create", *named, "--json")).json()
    assert created["second_factors"] == ["totp", "email"]
    table = await dragoman("user", "list")
    assert table.out.splitlines()[1].split()[-3:] == ["active", "totp", "email"]
    assert "JBSWY3DPEHPK3PXP" not in table.out + str(created)
    lost = await dragoman("user", "second-factors", "someone@example.com", "--remove-totp")
    assert "second_factors  email\n" in lost.out
    none = await dragoman("user", "second-factors", "someone@example.com", "--no-email", "--json")
    assert none.json()["second_factors"] == []
    again = await dragoman("user", "second-factors", created["id"], "--email", "--json")
    assert again.json()["second_factors"] == ["email"]


async def test_refused_second_factors(dragoman: Command) -> None:
    """A second factor that cannot be had is refused, with one line that says why."""
    ended = await dragoman("user", "create", "--username", "someone", "--email-second-factor")
    assert failed(ended, "a second factor by e-mail needs an e-mail address")
    ended = await dragoman("user", "create", "--username", "someone", "--totp-secret-file", "-", given=b"ABCDEFG\n")
    assert failed(ended, "not a TOTP secret: base32 of 80 to 512 bits")
    assert (await dragoman("user", "create", "--username", "someone")).status == 0
    ended = await dragoman("user", "second-factors", "someone", "--email")
    assert failed(ended, "the user has no e-mail address")
    assert failed(await dragoman("user", "second-factors", "nobody", "--email"), "nobody has that identifier")
    assert (await dragoman("user", "second-factors", "someone")).status == 2


async def test_refused_user_commands(dragoman: Command) -> None:
    """A weak password says everything that is wrong with it; the others say what is missing or taken."""
    weak = await dragoman("user", "create", "--username", "someone", "--password-file", "-", given=b"someone1\n")
    assert failed(weak, "the password is too_short, context")
    ended = await dragoman("user", "create")
    assert failed(ended, "a user needs an e-mail address, a phone number or a username")
    assert failed(await dragoman("user", "create", "--phone", "12"), "not a phone number")
    assert failed(await dragoman("user", "suspend", "nobody"), "nobody has that identifier")


async def test_nobody_there(rabbitmq_url: str) -> None:
    """While the service is down the command says so at once."""
    dragoman = Command({"DRAGOMAN_RABBITMQ_URL": broker_url(rabbitmq_url, "operator")})
    assert failed(await dragoman("client", "list"), "nobody serves token")
    assert failed(await dragoman("user", "suspend", "x"), "nobody serves identity")


async def test_broker_away() -> None:
    """Without a broker the command says so within six seconds."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    ended = await Command({"DRAGOMAN_RABBITMQ_URL": "amqp://u:hidden@127.0.0.1:1/"})("client", "list")
    assert loop.time() - started < 6
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("Error: the broker cannot be reached: ")
    assert "Connect call failed" in ended.err
    assert "hidden" not in ended.err


@pytest.mark.parametrize("command", [("client", "list"), ("dead-letters", "list")], ids=" ".join)
async def test_a_broker_that_refuses(rabbitmq_url: str, command: tuple[str, ...]) -> None:
    """A wrong password and an unknown virtual host are told as such, in one line without the password."""
    right = urlsplit(broker_url(rabbitmq_url, "operator"))
    wrong_password = urlunsplit(right._replace(netloc=f"operator:hidden@{right.hostname}:{right.port}"))
    for url, reason in (
        (wrong_password, "ACCESS_REFUSED - Login was refused"),
        (urlunsplit(right._replace(path="/nowhere")), "it refuses the virtual host"),
    ):
        ended = await Command({"DRAGOMAN_OPERATOR_RABBITMQ_URL": url})(*command)
        assert (ended.status, ended.out) == (1, "")
        [line] = ended.err.splitlines()
        assert line.startswith("Error: the broker cannot be reached: ")
        assert reason in line
        assert "hidden" not in line


@pytest.mark.parametrize("command", [("client", "list"), ("dead-letters", "list")], ids=" ".join)
@pytest.mark.parametrize("url", ["nonsense", "amqp://operator:hidden@127.0.0.1:1/?cadata=hidden"])
async def test_a_url_that_is_none(url: str, command: tuple[str, ...]) -> None:
    """It is said that the URL is wrong; nothing of it is repeated."""
    ended = await Command({"DRAGOMAN_OPERATOR_RABBITMQ_URL": url})(*command)
    assert (ended.status, ended.out) == (1, "")
    assert "DRAGOMAN_OPERATOR_RABBITMQ_URL: begins with none of" in ended.err or "URL cannot be read" in ended.err
    assert "hidden" not in ended.err


async def test_wrong_settings() -> None:
    """A missing URL, and a setting that does not exist, are named."""
    unset = await Command({})("user", "list")
    unknown = await Command({"DRAGOMAN_RABBITMQ_URL": "amqp://x", "DRAGOMAN_OPERATOR_URL": "x"})("user", "list")
    assert (unset.status, unknown.status) == (1, 1)
    assert "DRAGOMAN_RABBITMQ_URL: field required (DRAGOMAN_OPERATOR_RABBITMQ_URL for operator alone)" in unset.err
    assert "DRAGOMAN_OPERATOR_URL is not a setting" in unknown.err


def test_installed_command() -> None:
    """The installed script ends with the command's status and its message, without a traceback."""
    dragoman = Path(sys.executable).parent / "dragoman"
    ended = subprocess.run([dragoman, "user", "list"], env={}, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: operator: ")
    assert "Traceback" not in ended.stderr


async def test_secrets_encrypted_anew(dragoman: Command, postgres_url: str, tmp_path: Path) -> None:
    """What is current stays, a repeat does no harm, and what no key can read ends with status 1 and stays as it is."""
    (tmp_path / "secret").write_text("JBSWY3DPEHPK3PXP\n")
    for name in ("first", "second"):
        await dragoman("user", "create", "--username", name, "--totp-secret-file", str(tmp_path / "secret"))
    assert (await dragoman("user", "rewrap", "--json")).json() == {"rewrapped": 0, "unreadable": 0}
    connection = await asyncpg.connect(postgres_url)
    try:
        garbled = "UPDATE identity.totp SET wrapped_secret = substr(wrapped_secret, 2) WHERE user_id IN "
        await connection.execute(f"{garbled} (SELECT id FROM identity.users WHERE username = 'second')")
    finally:
        await connection.close()
    ended = await dragoman("user", "rewrap")
    assert (ended.status, ended.out) == (1, "0 secrets encrypted anew, 1 that neither key can read\n")
