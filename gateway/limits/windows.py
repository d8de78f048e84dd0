"""Sliding windows: what is counted, what comes of it, and the windows that one process keeps by itself."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from gateway.limits.rules import Quota

Outcome = Literal["allowed", "limited", "blocked"]

_MOST_NAMES = 50_000


@dataclass(frozen=True, slots=True)
class Counted:
    """One thing that a request is counted for: its `name`, blinded, and its limit, with the block behind it."""

    name: str
    quota: Quota
    block: int


@dataclass(frozen=True, slots=True)
class Window:
    """What is left of a quota now.

    `outcome` is `limited` where this very request was one too many, `blocked` while the block of an earlier one lasts,
    and otherwise `allowed`, even if the request is refused for another quota's sake.
    `wait`: until the oldest request is forgotten, or the block is over.
    """

    left: int
    wait: timedelta
    outcome: Outcome


@dataclass(slots=True)
class _State:
    times: deque[datetime] = field(default_factory=deque)
    blocked_until: datetime | None = None


class LocalWindows:
    """Windows of this process alone: for a platform without Redis, and for the time that Redis is away.

    Only the names seen last are remembered, so that nobody fills the memory with names.
    """

    def __init__(self, most_names: int = _MOST_NAMES) -> None:
        self._most_names = most_names
        self._states: OrderedDict[str, _State] = OrderedDict()

    def decide(self, counted: Sequence[Counted], now: datetime) -> list[Window]:
        """Count a request everywhere, or, where it is refused by any one, nowhere; the window of each."""
        states = [self._state(one, now) for one in counted]
        blocked = any(state.blocked_until is not None for state in states)
        full = [len(state.times) >= one.quota.requests for one, state in zip(counted, states, strict=True)]
        windows = []
        for one, state, is_full in zip(counted, states, full, strict=True):
            if state.blocked_until is not None:
                windows.append(Window(0, state.blocked_until - now, "blocked"))
            elif is_full and not blocked:
                wait = self._refused(one, state, now)
                windows.append(Window(0, wait, "limited"))
            else:
                if not blocked and not any(full):
                    state.times.append(now)
                left = max(0, one.quota.requests - len(state.times))
                windows.append(Window(left, _until_forgotten(one, state, now), "allowed"))
        return windows

    def _state(self, one: Counted, now: datetime) -> _State:
        """What is remembered of a name, without what is over."""
        state = self._states.setdefault(one.name, _State())
        self._states.move_to_end(one.name)
        if len(self._states) > self._most_names:
            self._states.popitem(last=False)
        while state.times and state.times[0] <= now - timedelta(seconds=one.quota.seconds):
            state.times.popleft()
        if state.blocked_until is not None:
            # Never longer than the rule says now: it may have been changed, or the clock put back.
            state.blocked_until = min(state.blocked_until, now + timedelta(seconds=one.block))
            if state.blocked_until <= now:
                state.blocked_until = None
        return state

    def _refused(self, one: Counted, state: _State, now: datetime) -> timedelta:
        """Begin the block that follows from one request too many, if there is one."""
        if not one.block:
            return _until_forgotten(one, state, now)
        state.times.clear()
        state.blocked_until = now + timedelta(seconds=one.block)
        return state.blocked_until - now


def _until_forgotten(one: Counted, state: _State, now: datetime) -> timedelta:
    oldest = state.times[0] if state.times else now
    return oldest + timedelta(seconds=one.quota.seconds) - now
