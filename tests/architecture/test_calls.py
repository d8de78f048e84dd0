"""Who talks to whom: DESIGN §1, the contracts and the wiring say the same."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from shared.bus import permissions
from shared.bus.messages import CALLS, EVENTS

ROOT = Path(__file__).parents[2]


def test_the_contracts_draw_the_call_graph_of_the_design() -> None:
    """Two front doors, two vaults: a new edge is a decision, not an accident."""
    assert permissions.call_graph() == {
        "gateway": ["identity", "token"],
        "token": ["identity"],
        "identity": ["otp", "password"],
        "otp": [],
        "password": [],
        "operator": ["identity", "token"],
    }


def test_the_call_graph_has_no_cycle() -> None:
    """No service waits, through others, for itself."""
    order = list(TopologicalSorter(permissions.call_graph()).static_order())
    assert order.index("token") > order.index("identity") > order.index("password")


def test_contracts_name_only_components_that_exist() -> None:
    """An owner, caller or subscriber that is mistyped would never be reached."""
    owners = {call.owner for call in CALLS.values()} | {event.owner for event in EVENTS.values()}
    callers = {caller for call in CALLS.values() for caller in call.callers}
    subscribers = {subscriber for event in EVENTS.values() for subscriber in event.subscribers}
    assert owners | subscribers <= set(permissions.SERVICES)
    assert callers <= set(permissions.COMPONENTS)


@pytest.mark.parametrize("service", permissions.SERVICES)
def test_a_service_answers_every_call_and_hears_every_event_that_is_its_own(service: str) -> None:
    """The table of contents in its wiring is what its contract promises: no call is `unavailable` for good."""
    wiring = ast.parse((ROOT / "services" / service / "__main__.py").read_text())
    calls = {_name(call) for call in CALLS.values() if call.owner == service}
    assert _keys(wiring, "serve") == calls
    events = {_name(event) for event in EVENTS.values() if service in event.subscribers}
    assert _keys(wiring, "subscribe") == events


def _name(kind: type) -> str:
    # In full: two services may each tell of an event by the same name.
    return f"{kind.__module__}.{kind.__qualname__}"


def _keys(wiring: ast.Module, method: str) -> set[str]:
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(wiring)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    # A class that was imported by itself, or one of a module that was: `PasswordChanged`, `password.PasswordChanged`.
    written = [
        ast.unparse(key).split(".")
        for node in ast.walk(wiring)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method
        for argument in node.args
        if isinstance(argument, ast.Dict)
        for key in argument.keys
        if key is not None
    ]
    return {".".join([imported[first], *rest]) for first, *rest in written}
