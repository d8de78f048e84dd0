"""All components by name, and where their migrations are."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click

from shared.bus.permissions import SERVICES
from shared.process import Component
from shared.server_urls import check_postgres_url
from shared.settings import read_secret

COMPONENTS = ("gateway", *SERVICES)
ROOT = Path(__file__).parent.parent


def component(name: str) -> Component:
    """The component called `name`; imported only now, so that each process loads no more than its own."""
    package = name if name == "gateway" else f"services.{name}"
    found = import_module(f"{package}.__main__").COMPONENT
    assert isinstance(found, Component)
    return found


def schemas(service_urls: Mapping[str, str]) -> dict[str, tuple[Path, str | None]]:
    """Each service's folder of migrations and the URL by which it will connect, where one is given."""
    return {name: (ROOT / "services" / name / "migrations", service_urls.get(name)) for name in SERVICES}


@dataclass(frozen=True)
class PostgresUrls:
    """Where the database is: for the role that migrates, and for each service whose own role is named."""

    owner: str | None
    services: dict[str, str]


def postgres_urls(environ: Mapping[str, str]) -> PostgresUrls:
    """Read the URLs, or the files that `…_FILE` names. Raises `click.ClickException` for one that cannot be used."""
    services = {name: _postgres_url(environ, f"DRAGOMAN_{name.upper()}_POSTGRES_URL") for name in SERVICES}
    return PostgresUrls(
        owner=_postgres_url(environ, "DRAGOMAN_POSTGRES_URL"),
        services={name: url for name, url in services.items() if url is not None},
    )


def _postgres_url(environ: Mapping[str, str], name: str) -> str | None:
    url = secret(environ, name)
    if url is not None:
        try:
            check_postgres_url(url)
        except ValueError as error:
            raise click.ClickException(f"{name}: {error}") from None
    return url


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """What `name` is set to, directly or by a file; None for nothing at all.

    Raises `click.ClickException` for a file that cannot be read.
    """
    path = environ.get(f"{name}_FILE")
    if path is None:
        return environ.get(name) or None
    try:
        return read_secret(path).strip() or None
    except ValueError as error:
        raise click.ClickException(f"{name}_FILE cannot be read: {error}") from None
