"""The command by itself: help, settings and migrations."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import click
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from shared.bus.permissions import SERVICES
from tests.support.urls import ServerUrls

RIGHT = {
    "DRAGOMAN_POSTGRES_URL": "postgresql://nowhere/x",
    "DRAGOMAN_RABBITMQ_URL": "amqp://nowhere",
    "DRAGOMAN_ISSUER": "https://id.example.com",
    "DRAGOMAN_TOKEN_WRAPPING_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    "DRAGOMAN_TOKEN_REFRESH_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
}


def run(*arguments: str, **environment: str) -> Result:
    """Run the command in this process."""
    ended = CliRunner().invoke(main, arguments, env=environment)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and group below `group`."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help(path: tuple[str, ...]) -> None:
    """Every command explains itself, and each of its options, without any setting."""
    ended = run(*path, "--help")
    assert ended.exit_code == 0
    assert ended.stdout.startswith("Usage: main " + " ".join(path))
    assert ended.stderr == ""


def test_all_that_was_promised_is_there() -> None:
    """The five components, all of them at once, migrations, and the operator's commands."""
    found = {" ".join(path) for path in commands()}
    promised = "gateway,token,identity,otp,password,all,migrate,client create,client rotate-secret,client list"
    assert found >= {*promised.split(","), "user create", "user suspend", "user list", "settings list", "settings set"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "create", "--username", "x", "--password", "y", "--password-file", "-"),
        ("user", "list", "--limit", "0"),
        ("client", "create", "x", "--grant", "implicit"),
        ("client", "rotate-secret", "x", "--overlap", "-1"),
    ],
)
def test_usage(arguments: tuple[str, ...]) -> None:
    """Options that contradict each other or make no sense are refused as usage, before anything is asked."""
    ended = run(*arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "Error: " in ended.stderr


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """A secret that is not UTF-8 text is refused by the name of its file."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    ended = run("client", "create", "x", "--secret-file", str(tmp_path / "binary"))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == f"Error: {tmp_path / 'binary'} is not UTF-8 text\n"


def test_right_settings() -> None:
    """`--check` ends with 0 when the component could start with these settings."""
    ended = run("token", "--check", **RIGHT)
    assert (ended.exit_code, ended.stdout) == (0, "token: the settings are right\n")
    assert json.loads(run("token", "--check", "--json", **RIGHT).stdout) == {"component": "token", "settings": "right"}


def test_wrong_settings() -> None:
    """`--check` tells all mistakes at once, by name, with status 2, and shows no secret."""
    wrong = {"DRAGOMAN_TOKEN_WRAPPING_KEY": "hidden", "DRAGOMAN_TOKEN_ACCESS_SECONDS": "1", "DRAGOMAN_TOKEN_TYPO": "x"}
    given = {name: value for name, value in RIGHT.items() if name != "DRAGOMAN_ISSUER"} | wrong
    ended = run("token", "--check", **given)
    assert (ended.exit_code, ended.stdout) == (2, "")
    for name in (*wrong, "DRAGOMAN_ISSUER"):
        assert sum(line.startswith(name) for line in ended.stderr.splitlines()) == 1, ended.stderr
    assert "hidden" not in ended.stderr


def test_settings_of_all() -> None:
    """`all --check` tells the mistakes of every component together."""
    ended = run("all", "--check", DRAGOMAN_LOG_LEVEL="loud")
    assert ended.exit_code == 2
    for component in ("gateway", *SERVICES):
        assert f"{component}: " in ended.stderr


@pytest.mark.parametrize("component", ["gateway", *SERVICES])
def test_list_of_settings(component: str) -> None:
    """`--settings` lists each setting with its default and its meaning, for people and for programs."""
    listed = json.loads(run(component, "--settings", "--json").stdout)
    text = run(component, "--settings").stdout
    # The star marks those that may be given once for all components.
    common = {f"DRAGOMAN_{component.upper()}_{name}*" for name in ("RABBITMQ_URL", "LOG_LEVEL", "DRAIN_SECONDS")}
    assert common <= {setting["name"] for setting in listed}
    assert all(setting["name"] in text and setting["meaning"] for setting in listed)


@pytest.mark.parametrize("name", ["DRAGOMAN_POSTGRES_URL", "DRAGOMAN_RABBITMQ_URL"])
@pytest.mark.parametrize(
    "url", ["", "foo", "http://x", "mysql://a", "postgresql://u:hidden@:1/x", "amqp://u:hidden@x:y"]
)
def test_a_url_that_leads_nowhere(name: str, url: str) -> None:
    """`--check` says so before anybody connects, by the name of the setting and without the password."""
    ended = run("token", "--check", **RIGHT | {name: url})
    assert (ended.exit_code, ended.stdout) == (2, "")
    [_, problem] = ended.stderr.splitlines()
    assert problem.startswith(f"{name}: ")
    assert "hidden" not in problem


@pytest.fixture
def empty_database(server_urls: ServerUrls, worker: str) -> Iterator[str]:
    """A database with nothing in it."""
    name = f"dragoman_test_cli_{worker}"

    async def execute(*statements: str) -> None:
        admin = await asyncpg.connect(server_urls.postgres)
        try:
            for statement in statements:
                await admin.execute(statement)
        finally:
            await admin.close()

    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    asyncio.run(execute(drop, f"CREATE DATABASE {name} TEMPLATE template0"))
    yield urlunsplit(urlsplit(server_urls.postgres)._replace(path=f"/{name}"))
    asyncio.run(execute(drop, f"DROP ROLE IF EXISTS {name}_role"))


def as_role(url: str, role: str) -> str:
    """The same database for another role."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:secret@{parts.hostname}:{parts.port}"))


def test_migrate(empty_database: str, worker: str) -> None:
    """`migrate` brings an empty database up to date, does nothing the second time, and limits a service to its own."""
    role = as_role(empty_database, f"dragoman_test_cli_{worker}_role")
    settings = {"DRAGOMAN_POSTGRES_URL": empty_database, "DRAGOMAN_TOKEN_POSTGRES_URL": role}
    first, again = run("migrate", "--json", **settings), run("migrate", **settings)
    assert set(json.loads(first.stdout)) == set(SERVICES)
    assert (again.exit_code, len(again.stdout.splitlines())) == (0, 4)

    async def look() -> tuple[int, list[str]]:
        connection = await asyncpg.connect(role)
        try:
            count = await connection.fetchval("SELECT count(*) FROM token.sessions")
            refused = []
            for statement in (
                "SELECT 1 FROM identity.users",
                "DELETE FROM token.migrations",
                "CREATE TABLE token.x ()",
            ):
                try:
                    await connection.execute(statement)
                except asyncpg.InsufficientPrivilegeError:
                    refused.append(statement)
        finally:
            await connection.close()
        return count, refused

    count, refused = asyncio.run(look())
    assert count == 0
    assert len(refused) == 3


def stand_at(url: str, schema: str, revision: str) -> None:
    """Have a schema be where another version has left it."""

    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(f"UPDATE {schema}.migrations SET version_num = $1", revision)
        finally:
            await connection.close()

    asyncio.run(execute())


def test_migrate_back(empty_database: str) -> None:
    """On a newer schema `migrate` succeeds and says so; a revision that nobody knows is one line and status 1."""
    run("migrate", DRAGOMAN_POSTGRES_URL=empty_database)
    stand_at(empty_database, "otp", "0999")
    ended = run("migrate", "--json", DRAGOMAN_POSTGRES_URL=empty_database)
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["otp"] == "0999"
    assert set(json.loads(ended.stdout)) == set(SERVICES)
    [line] = ended.stderr.splitlines()
    assert line.startswith("the schema otp stands at 0999, newer than this version's ")
    stand_at(empty_database, "otp", "lost")
    ended = run("migrate", DRAGOMAN_POSTGRES_URL=empty_database)
    assert (ended.exit_code, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("Error: the database cannot be migrated: the schema otp: ")
    assert "'lost'" in line


def test_migrate_without_rights(empty_database: str, worker: str) -> None:
    """A role that may not create schemas gets one line that says so."""
    role = as_role(empty_database, f"dragoman_test_cli_{worker}_role")
    run("migrate", DRAGOMAN_POSTGRES_URL=empty_database, DRAGOMAN_OTP_POSTGRES_URL=role)
    ended = run("migrate", DRAGOMAN_POSTGRES_URL=role)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: the database cannot be migrated: ")
    assert "permission denied" in ended.stderr


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "DRAGOMAN_POSTGRES_URL is not set"),
        ({"DRAGOMAN_POSTGRES_URL": "postgresql://u:hidden@127.0.0.1:1/x"}, "the database cannot be migrated: "),
        ({"DRAGOMAN_POSTGRES_URL": ""}, "DRAGOMAN_POSTGRES_URL is not set"),
        ({"DRAGOMAN_POSTGRES_URL_FILE": "/dev/null"}, "DRAGOMAN_POSTGRES_URL is not set"),
        ({"DRAGOMAN_POSTGRES_URL": "nonsense"}, "DRAGOMAN_POSTGRES_URL: begins with none of "),
        ({"DRAGOMAN_POSTGRES_URL": "postgresql://u:hidden@127.0.0.1:port/x"}, "DRAGOMAN_POSTGRES_URL: a port is "),
        (
            {"DRAGOMAN_POSTGRES_URL": "postgresql://127.0.0.1:1/x", "DRAGOMAN_OTP_POSTGRES_URL": "http://o:hidden@x"},
            "DRAGOMAN_OTP_POSTGRES_URL: begins with none of ",
        ),
        ({"DRAGOMAN_POSTGRES_URL_FILE": "/nowhere/url"}, "DRAGOMAN_POSTGRES_URL_FILE cannot be read: "),
        ({"DRAGOMAN_POSTGRES_URL_FILE": sys.executable}, "DRAGOMAN_POSTGRES_URL_FILE cannot be read: "),
    ],
)
def test_migrate_nowhere(settings: dict[str, str], reason: str) -> None:
    """Without a database to migrate the command says why with status 1, and never the password."""
    ended = run("migrate", **settings)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: {reason}")
    assert "hidden" not in ended.stderr
