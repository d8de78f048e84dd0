"""Guesses at clients' secrets, bounded before `token` is asked (RFC 6749 §2.3.1; docs/decisions/0013).

Requests are not what is counted: a client of good faith may start with many at once, and has one or two secrets. What
counts are distinct secrets of which nobody has said yet that they are right, so that a guess is counted before it is
checked, and a client that this process has seen authenticate never waits for what others guess.

All of it is in this process's memory: clients ask for tokens all the time, and do so while Redis is away, too.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta

from aiohttp import web

from gateway.addresses import Addresses
from shared.clock import Clock
from shared.contracts.token import ClientProof
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry

_WINDOW = timedelta(seconds=60)
_MOST_FOR_CLIENT = 20
"""Of one client from one address. Whoever has mistyped a secret tries a few; a year of guesses is then ten million."""
_MOST_FOR_ADDRESS = 300
"""From one address, whatever the clients: an office is one, or a cluster whose clients all start at the same moment."""

_MOST_CLIENTS = 10_000
_MOST_ADDRESSES = 2_000
_MOST_PROVEN = 10_000

_NOT_SHOWN_TO_BE_RIGHT = frozenset(
    {
        ErrorCode.INVALID_CLIENT,
        # These may come before the secret is looked at.
        ErrorCode.INVALID_REQUEST,
        ErrorCode.OVERLOADED,
        ErrorCode.UNAVAILABLE,
        ErrorCode.DEADLINE_EXCEEDED,
        ErrorCode.INTERNAL,
    }
)
_NOTHING_TO_WATCH = nullcontext()


class ClientGuesses:
    """Refuses clients' secrets when too many were guessed. Remembers keyed hashes under a key of this process's own."""

    def __init__(self, addresses: Addresses, clock: Clock, entropy: Entropy, telemetry: Telemetry) -> None:
        self._addresses = addresses
        self._clock = clock
        self._key = entropy.token_bytes(32)
        self._decisions = telemetry.rate_limit_decisions
        self._for_client = _Windows(_MOST_FOR_CLIENT, _MOST_CLIENTS)
        self._for_address = _Windows(_MOST_FOR_ADDRESS, _MOST_ADDRESSES)
        # Of their own, so that no number of guesses drives them out.
        self._proven: dict[bytes, None] = {}

    def watch(self, request: web.Request, proof: ClientProof) -> AbstractContextManager[None]:
        """Put around the call that has `token` check the proof; what it raises tells whether the secret was right.

        One that was right once is not counted. Where the address is not known, it is counted for the client alone.
        Raises `rate_limited` with `retry_after`, in place of the call.
        """
        if not proof.client_id or proof.client_secret is None:
            return _NOTHING_TO_WATCH  # nothing is guessed: `token` says what is missing
        guess = self._hash(proof.client_id, proof.client_secret.get_secret_value())
        return _NOTHING_TO_WATCH if guess in self._proven else self._watch(request, proof.client_id, guess)

    @contextmanager
    def _watch(self, request: web.Request, client_id: str, guess: bytes) -> Iterator[None]:
        source = self._addresses.source(request)
        counted = [(self._for_client, self._hash(client_id, source or ""))]
        if source is not None:
            counted.append((self._for_address, source.encode()))
        now = self._clock.now()
        waits = [windows.wait(name, guess, now) for windows, name in counted]
        if longest := max(waits):
            self._refuse(request, longest)
        for windows, name in counted:
            windows.add(name, guess, now)
        try:
            yield
        except Error as error:
            if error.code not in _NOT_SHOWN_TO_BE_RIGHT:
                self._is_right(guess, counted)
            raise
        self._is_right(guess, counted)

    def _refuse(self, request: web.Request, wait: timedelta) -> None:
        resource = request.match_info.route.resource
        self._decisions.labels(resource.canonical if resource is not None else "", "limited", "process").inc()
        raise Error(ErrorCode.RATE_LIMITED, "too many client secrets were tried", retry_after=wait.total_seconds())

    def _is_right(self, guess: bytes, counted: "list[tuple[_Windows, bytes]]") -> None:
        for windows, name in counted:
            windows.remove(name, guess)
        self._proven[guess] = None
        if len(self._proven) > _MOST_PROVEN:
            del self._proven[next(iter(self._proven))]

    def _hash(self, client_id: str, text: str) -> bytes:
        # With the length, so that no other split of the same characters is the same message.
        message = f"{len(client_id)} {client_id}{text}".encode()
        return hashlib.blake2b(message, key=self._key, digest_size=16).digest()


class _Windows:
    """The guesses of the last minute by name, each once, the oldest first; of names those with guesses last alone."""

    def __init__(self, most: int, most_names: int) -> None:
        self._most = most
        self._most_names = most_names
        self._windows: OrderedDict[bytes, dict[bytes, datetime]] = OrderedDict()

    def wait(self, name: bytes, guess: bytes, now: datetime) -> timedelta:
        """How long until there is room for a guess; nothing where there is, or where it is among them."""
        window = self._windows.get(name, {})
        while window:
            first, at = next(iter(window.items()))
            # Not negative either: a clock that was put back must not make a guess last.
            if timedelta(0) <= now - at < _WINDOW:
                break
            del window[first]
        if guess in window or len(window) < self._most:
            return timedelta(0)
        return at + _WINDOW - now

    def add(self, name: bytes, guess: bytes, now: datetime) -> None:
        """Count a guess."""
        self._windows.setdefault(name, {}).setdefault(guess, now)
        self._windows.move_to_end(name)
        if len(self._windows) > self._most_names:
            self._windows.popitem(last=False)

    def remove(self, name: bytes, guess: bytes) -> None:
        """Take back that it was counted."""
        window = self._windows.get(name, {})
        window.pop(guess, None)
        if not window:
            self._windows.pop(name, None)
