"""All components by name, and where their migrations are."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from shared.bus.permissions import SERVICES
from shared.process import Component

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
