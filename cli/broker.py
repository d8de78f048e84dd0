"""`dragoman broker …`: the broker's users, and what each of them may do.

Every component has a user of its own, by its own name. Its password stands in the component's broker URL, and its
permissions follow from the contracts (shared/bus/permissions.py).
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import aiohttp
import click

from cli.components import secret
from cli.output import show
from shared.bus.permissions import COMPONENTS, definitions
from shared.entropy import Entropy, SystemEntropy
from shared.settings import environment

MANAGEMENT_URL = "DRAGOMAN_BROKER_MANAGEMENT_URL"
BROKER_UP_SECONDS = 60.0
_TRY_SECONDS = 10.0
_PAUSE_SECONDS = 1.0


@click.group()
def broker() -> None:
    """Give the components their users on RabbitMQ: one for each, who may do what the contracts say and no more.

    Names, passwords and the virtual host are those of DRAGOMAN_<COMPONENT>_RABBITMQ_URL, for the five components and
    the operator. Users of other names are left alone.
    """


@broker.command("definitions")
def show_definitions() -> None:
    """Print them as RabbitMQ's `load_definitions` takes them; of the passwords there are only hashes in it."""
    click.echo(json.dumps(broker_definitions(environment(), SystemEntropy()), indent=2))


@broker.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def apply(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Send them to a broker that runs; to do so again changes nothing, and no connection is lost.

    DRAGOMAN_BROKER_MANAGEMENT_URL is where the broker's management API is, with a user who administers it:
    http://user:password@host:15672. The command waits up to a minute until it answers.
    """
    url = secret(environment(), MANAGEMENT_URL)
    if not url:
        raise click.ClickException(f"{MANAGEMENT_URL} is not set")
    document = broker_definitions(environment(), SystemEntropy())
    asyncio.run(send_definitions(url, document, BROKER_UP_SECONDS))
    show({"users": list(COMPONENTS)}, [f"the broker knows {', '.join(COMPONENTS)}"], as_json=as_json)


def broker_definitions(environ: Mapping[str, str], entropy: Entropy) -> dict[str, object]:
    """RabbitMQ's definitions document for the users that the components' URLs name.

    Raises `click.ClickException` that tells all that is wrong with the URLs, and none of the passwords.
    """
    passwords: dict[str, str] = {}
    vhosts: dict[str, None] = {}
    mistakes = []
    for component in COMPONENTS:
        name = f"DRAGOMAN_{component.upper()}_RABBITMQ_URL"
        try:
            vhost, passwords[component] = _read_url(secret(environ, name), component)
            vhosts[vhost] = None
        except ValueError as mistake:
            mistakes.append(f"{name}: {mistake}")
    if len(vhosts) > 1:
        mistakes.append(f"the URLs name several virtual hosts: {', '.join(vhosts)}")
    if mistakes:
        raise click.ClickException("\n".join(mistakes))
    document = definitions(passwords, list(vhosts))
    document["users"] = [
        {
            "name": component,
            "password_hash": password_hash(password, entropy),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": "",
        }
        for component, password in passwords.items()
    ]
    return document


def password_hash(password: str, entropy: Entropy) -> str:
    """A password as RabbitMQ keeps it: base64 of a salt and of the SHA-256 of salt and password."""
    salt = entropy.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


async def send_definitions(url: str, document: Mapping[str, object], seconds: float) -> None:
    """Import a definitions document over the management API, whose `url` names an administrator.

    Tried again for `seconds` while the broker cannot be reached or is starting. Raises `click.ClickException` with the
    reason when it stays so, and at once for what waiting cannot help.
    """
    address, authorization = _read_management_url(url)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    timeout, headers = aiohttp.ClientTimeout(_TRY_SECONDS), {"Authorization": authorization}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
        while (problem := await _send(http, address, document)) is not None:
            if loop.time() >= end:
                raise click.ClickException(f"the broker's management API does not answer: {problem}")
            await asyncio.sleep(_PAUSE_SECONDS)


async def _send(http: aiohttp.ClientSession, address: str, document: Mapping[str, object]) -> str | None:
    """Send once; returns what was in the way, None when nothing was. Raises what trying again cannot help."""
    try:
        async with http.post(address, json=document, allow_redirects=False) as answer:
            if answer.status == 204:
                return None
            if answer.status < 500:
                reason = (await answer.text())[:200]
                raise click.ClickException(f"the broker does not take the definitions: {answer.status} {reason}")
            return f"status {answer.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return str(error) or type(error).__name__


def _read_management_url(url: str) -> tuple[str, str]:
    """Where definitions are posted, and the `Authorization` of who posts them. Raises `click.ClickException`."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("another scheme, or no host")
        port = f":{parts.port}" if parts.port else ""
        login = aiohttp.encode_basic_auth(unquote(parts.username or ""), unquote(parts.password or ""))
    except ValueError:  # without its words, in which the password may be
        raise click.ClickException(f"{MANAGEMENT_URL} is not an HTTP URL") from None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}/api/definitions", login


def _read_url(url: str | None, component: str) -> tuple[str, str]:
    """The virtual host and the password in a component's broker URL. Raises ValueError with what is wrong with it."""
    if not url:
        raise ValueError("is not set")
    try:
        parts = urlsplit(url)
    except ValueError:  # without its words, in which the password may be
        raise ValueError("is not a URL") from None
    if parts.scheme not in {"amqp", "amqps"}:
        raise ValueError("is not an AMQP URL")
    if unquote(parts.username or "") != component:
        raise ValueError(f"its user has to be {component}")
    if not parts.password:
        raise ValueError("has no password")
    return unquote(parts.path.removeprefix("/")) or "/", unquote(parts.password)
