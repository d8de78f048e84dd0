"""Who may do what on the broker: one user per component, derived from the contracts.

The broker, the import rules and DESIGN §1 say the same thing; a test compares them.
"""

import re

from shared.bus import topology
from shared.bus.messages import EVENTS
from shared.contracts import identity, otp, password, providers, token  # noqa: F401 - they fill the register

SERVICES = ("token", "identity", "otp", "password")
OPERATOR = "operator"
COMPONENTS = ("gateway", *SERVICES, OPERATOR)
"""Everything with a user of its own on the broker; `operator` is the command line."""

HEARERS = tuple(topology.hearers())
"""The services that hear events, and so may have given some up."""


def call_graph() -> dict[str, list[str]]:
    """Which services each component may call."""
    return {component: topology.owners_called_by(component) for component in COMPONENTS}


def permissions(component: str) -> dict[str, str]:
    """The configure, write and read expressions of a component's user.

    Callers may also declare the exchanges they publish to, since services start in any order.
    Whoever answers must write to the default exchange (replies, retries); that a call came through the exchange of its
    service is checked by the service.
    The operator takes parked events and gives them back through exchanges of their own (shared/bus/dead_letters.py).
    """
    called = topology.owners_called_by(component)
    heard = [topology.events_exchange(owner) for owner in topology.owners_heard_by(component)]
    own = [component, topology.events_exchange(component)] if component in SERVICES else []
    queues = [topology.calls_queue(component), topology.groups_queue(component)] if component in SERVICES else []
    own_events = rf"{re.escape(topology.events_queue(component))}(\..+)?"
    services = HEARERS if component == OPERATOR else ()
    replays, parked = list(map(topology.replay_exchange, services)), list(map(topology.dead_queue, services))
    replies = ["amq.default"] if own else []
    return {
        "configure": _any_of(own + called + heard + queues, own_events if heard else None),
        "write": _any_of(own + called + queues + replies + replays, own_events if heard else None),
        "read": _any_of(own + heard + queues + parked, own_events if heard else None),
    }


def topic_permissions(component: str) -> list[dict[str, str]]:
    """Which routing keys a component's user may write to which exchange: only the calls that name it as a caller."""
    rules = [
        {
            "exchange": owner,
            "write": _any_of(
                [
                    *topology.subjects_called_by(component, owner),
                    topology.group_key(owner, component),
                    topology.probe_key(owner),
                ]
            ),
            "read": "^$",
        }
        for owner in topology.owners_called_by(component)
    ]
    if component in SERVICES:
        rules.append({"exchange": component, "write": "^$", "read": ".*"})
        published = [subject for subject, event in EVENTS.items() if event.owner == component]
        rules.append(
            {"exchange": topology.events_exchange(component), "write": _any_of(published), "read": "^$"},
        )
    for owner in topology.owners_heard_by(component):
        heard = [s for s, event in EVENTS.items() if event.owner == owner and component in event.subscribers]
        exchange = topology.events_exchange(owner)
        existing = next((rule for rule in rules if rule["exchange"] == exchange), None)
        if existing is None:
            rules.append({"exchange": exchange, "write": "^$", "read": _any_of(heard)})
        else:
            existing["read"] = _any_of(heard)
    return rules


def definitions(passwords: dict[str, str], vhosts: list[str]) -> dict[str, object]:
    """A RabbitMQ definitions document with one user per component on each of `vhosts`.

    `passwords` names each user's password; a user that is not a component becomes an administrator of all vhosts.
    """
    administrators = [user for user in passwords if user not in COMPONENTS]
    components = [user for user in passwords if user in COMPONENTS]
    full = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [
            {"name": user, "password": secret, "tags": "administrator" if user in administrators else ""}
            for user, secret in passwords.items()
        ],
        "vhosts": [{"name": vhost} for vhost in vhosts],
        "permissions": [
            {"user": user, "vhost": vhost, **(full if user in administrators else permissions(user))}
            for vhost in vhosts
            for user in (*administrators, *components)
        ],
        "topic_permissions": [
            {"user": user, "vhost": vhost, **rule}
            for vhost in vhosts
            for user in components
            for rule in topic_permissions(user)
        ],
    }


def _any_of(names: list[str], *expressions: str | None) -> str:
    alternatives = [re.escape(name) for name in dict.fromkeys(names)] + [e for e in expressions if e]
    return f"^({'|'.join(alternatives)})$" if alternatives else "^$"
