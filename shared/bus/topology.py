"""The names of everything on the broker, derived from the contracts, in one place."""

from dataclasses import dataclass

from shared.bus.messages import CALLS, EVENTS
from shared.errors import unavailable

RETRY_SECONDS = (1.0, 5.0, 15.0, 60.0)
MAX_ATTEMPTS = 10
LANE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed event comes back: after each of `delays` (seconds) in turn, then after the last one again.

    After `max_attempts` deliveries it is parked in the dead-letter queue. What waits in the queue of its lane for
    `lane_seconds` goes back to the queue of all events, which is no attempt.
    """

    delays: tuple[float, ...] = RETRY_SECONDS
    max_attempts: int = MAX_ATTEMPTS
    lane_seconds: float = LANE_SECONDS

    def delay_after(self, attempt: int) -> float | None:
        """Seconds to wait after failed delivery number `attempt`; None when it was the last."""
        if attempt >= self.max_attempts:
            return None
        return self.delays[min(attempt, len(self.delays)) - 1]


def calls_queue(component: str) -> str:
    """Where the calls to `component` wait; it exists while at least one replica serves it."""
    return f"rpc.{component}"


def groups_queue(component: str) -> str:
    """Where calls to `component` wait that travel in groups.

    A queue of its own, so that a replica of a version that knows no groups is given none.
    """
    return f"rpc.{component}.groups"


def group_key(component: str, caller: str) -> str:
    """The routing key of the groups that `caller` sends to `component`: the broker lets nobody else use it."""
    return f"{component}.group.{caller}"


def probe_key(component: str) -> str:
    """The routing key by which a caller asks whether anybody serves `component`."""
    return f"{component}.probe"


def events_exchange(component: str) -> str:
    """Where `component` publishes its events."""
    return f"{component}.events"


def events_queue(component: str) -> str:
    """Where the events for `component` wait, with or without a replica."""
    return f"events.{component}"


def retry_queue(component: str, delay: float) -> str:
    """Where a failed event waits `delay` seconds before it returns to the events queue."""
    return f"events.{component}.retry.{round(delay * 1000)}"


def lane_queue(component: str, lane: str, seconds: float) -> str:
    """Where events of one lane wait until the lane has a place, and return to the events queue after `seconds`.

    They return for the sake of versions that know no lanes: after a rollback nobody takes anything from here.
    """
    return f"events.{component}.lane.{lane}.{round(seconds * 1000)}"


def lanes(component: str) -> list[str]:
    """The lanes of the events that `component` must hear, by the contracts."""
    return sorted({lane for event in EVENTS.values() if component in event.subscribers for lane in event.lanes})


def dead_queue(component: str) -> str:
    """Where events are parked that no attempt could handle."""
    return f"events.{component}.dead"


def replay_exchange(component: str) -> str:
    """Through which operators put parked events back, by the name of the queue they belong in.

    It leads to the events queue and the dead-letter queue and nowhere else, unlike the default exchange.
    """
    return f"events.{component}.replay"


def subscribers_of(subject: str) -> frozenset[str]:
    """Who must hear the event. Raises `unavailable` for one that this version does not know.

    It was written by a newer version, which was taken back: it waits for that one, since who hears it, and whether the
    broker lets it pass, is known there alone.
    """
    event = EVENTS.get(subject)
    if event is None:
        raise unavailable(f"this version does not know {subject}")
    return event.subscribers


def hearers() -> list[str]:
    """The services that hear events, and so may have parked some, by the contracts."""
    return sorted({subscriber for event in EVENTS.values() for subscriber in event.subscribers})


def owners_called_by(component: str) -> list[str]:
    """The services that `component` may call, by the contracts."""
    return sorted({call.owner for call in CALLS.values() if component in call.callers})


def subjects_called_by(component: str, owner: str) -> list[str]:
    """The calls that `component` may make to `owner`."""
    return sorted(s for s, call in CALLS.items() if call.owner == owner and component in call.callers)


def owners_heard_by(component: str) -> list[str]:
    """The services whose events `component` must hear, by the contracts."""
    return sorted({event.owner for event in EVENTS.values() if component in event.subscribers})
