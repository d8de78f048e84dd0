"""Which guesses at clients' secrets are counted, and what is remembered of them."""

import re
from typing import cast

import pytest
from aiohttp import web
from pydantic import SecretStr

from gateway import client_guesses as module
from gateway.addresses import Addresses
from gateway.client_guesses import ClientGuesses
from shared.contracts.token import IntrospectToken
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry
from shared.testing import FakeClock, SeededEntropy
from tests.unit.gateway.requests import request

WRONG = Error(ErrorCode.INVALID_CLIENT, "the client is not authenticated")


class FakeAddresses:
    """Believes what a request says of itself."""

    def source(self, asking: web.Request) -> str | None:
        """The network, None where it is not known."""
        return asking.headers.get("X-From")


class Room:
    """The guesses, and a `token` that gives one answer."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        addresses = cast("Addresses", FakeAddresses())
        self.guesses = ClientGuesses(addresses, self.clock, SeededEntropy(), Telemetry("gateway"))
        self.calls = 0

    def guess(
        self, secret: str | None, client: str | None = "abc", source: str | None = "a", answer: Error | None = WRONG
    ) -> ErrorCode | None:
        """Try a secret; the code of the refusal, whoever refuses it."""
        hidden = None if secret is None else SecretStr(secret)
        asking = request(X_From=source) if source else request()
        try:
            with self.guesses.watch(asking, IntrospectToken(client_id=client, client_secret=hidden)):
                self.calls += 1
                if answer is not None:
                    raise answer
        except Error as error:
            return error.code
        return None


@pytest.fixture
async def room() -> Room:
    """Nobody has guessed yet."""
    return Room()


def fill(room: Room, client: str = "abc", source: str | None = "a") -> None:
    """Guess as often as one may."""
    for n in range(20):
        assert room.guess(f"wrong-{n}", client, source) == ErrorCode.INVALID_CLIENT


async def test_one_more(room: Room) -> None:
    """After twenty secrets in a minute the next is refused unasked; the first that is forgotten makes room for one."""
    room.guess("first")
    room.clock.advance(59)
    for n in range(19):
        room.guess(f"wrong-{n}")
    asked = room.calls
    with (
        pytest.raises(Error) as refused,
        room.guesses.watch(request(X_From="a"), IntrospectToken(client_id="abc", client_secret=SecretStr("next"))),
    ):
        pass
    assert (refused.value.code, refused.value.retry_after) == (ErrorCode.RATE_LIMITED, 1.0)
    assert room.guess("next") == ErrorCode.RATE_LIMITED
    assert room.calls == asked
    room.clock.advance(1)
    assert room.guess("next") == ErrorCode.INVALID_CLIENT
    assert room.guess("another") == ErrorCode.RATE_LIMITED


async def test_the_same_secret_is_one_guess(room: Room) -> None:
    """A wrong secret that comes again and again is told to be wrong each time, also once there is no room."""
    for _ in range(100):
        assert room.guess("mistyped") == ErrorCode.INVALID_CLIENT
    for n in range(19):
        assert room.guess(f"wrong-{n}") == ErrorCode.INVALID_CLIENT
    assert room.guess("one more") == ErrorCode.RATE_LIMITED
    assert room.guess("mistyped") == ErrorCode.INVALID_CLIENT


async def test_counted_before_it_is_checked(room: Room) -> None:
    """Guesses that are under way count."""
    asking = request(X_From="a")
    for n in range(20):
        proof = IntrospectToken(client_id="abc", client_secret=SecretStr(f"wrong-{n}"))
        room.guesses.watch(asking, proof).__enter__()
    assert room.guess("one more") == ErrorCode.RATE_LIMITED


@pytest.mark.parametrize("answer", [None, Error(ErrorCode.UNAUTHORIZED_CLIENT, "not this grant")])
async def test_a_secret_that_was_right(room: Room, answer: Error | None) -> None:
    """A secret that was right is not counted, and is let through when there is no room any more, from anywhere."""
    for n in range(30):
        room.guess(f"right-{n}", answer=answer)
    fill(room)
    assert room.guess("one more") == ErrorCode.RATE_LIMITED
    for source in ("a", "b", None):
        assert room.guess("right-0", source=source, answer=None) is None
    assert room.guess("right-0", client="other") == ErrorCode.INVALID_CLIENT
    assert room.guess("right-0", client="other", answer=None) is None


@pytest.mark.parametrize("code", ["invalid_request", "unavailable", "overloaded", "deadline_exceeded", "internal"])
async def test_an_answer_that_tells_nothing(room: Room, code: str) -> None:
    """An answer that may be given to wrong secrets too proves none, and the guess stays counted."""
    for n in range(20):
        room.guess(f"guess-{n}", answer=Error(ErrorCode(code), "whatever"))
    assert room.guess("guess-20") == ErrorCode.RATE_LIMITED


async def test_addresses(room: Room) -> None:
    """One address has twenty guesses for a client and three hundred for all of them; another has its own."""
    for n in range(15):
        fill(room, f"client-{n}")
    assert room.guess("wrong", "f") == ErrorCode.RATE_LIMITED
    assert room.guess("wrong", "f", source="b") == ErrorCode.INVALID_CLIENT
    assert room.guess("wrong", "client-0", source="b") == ErrorCode.INVALID_CLIENT


async def test_unknown_address(room: Room) -> None:
    """Where the address is not known, clients are counted and addresses are not: strangers share no bucket."""
    for n in range(16):
        fill(room, f"client-{n}", source=None)
    assert room.guess("one more", "client-0", source=None) == ErrorCode.RATE_LIMITED
    assert room.guess("one more", "client-0") == ErrorCode.INVALID_CLIENT


@pytest.mark.parametrize(("client", "secret"), [(None, "secret"), ("", "secret"), ("abc", None)])
async def test_nothing_to_guess(room: Room, client: str | None, secret: str | None) -> None:
    """A request that lacks the id or the secret always gets as far as `token`, which says what is missing."""
    fill(room)
    for _ in range(200):
        assert room.guess(secret, client) == ErrorCode.INVALID_CLIENT


async def test_another_split(room: Room) -> None:
    """The same characters, split otherwise, are another guess."""
    assert room.guess("bc", client="a", answer=None) is None
    fill(room, client="ab")
    assert room.guess("c", client="ab", answer=None) == ErrorCode.RATE_LIMITED


async def test_clock_put_back(room: Room) -> None:
    """A clock that is put back by a day leaves nobody waiting for a day."""
    fill(room)
    room.clock.advance(-86_400)
    assert room.guess("one more") == ErrorCode.INVALID_CLIENT


async def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many clients are made up, from however many addresses, memory ends, and who was right stays known."""
    monkeypatch.setattr(module, "_MOST_CLIENTS", 50)
    monkeypatch.setattr(module, "_MOST_ADDRESSES", 20)
    monkeypatch.setattr(module, "_MOST_PROVEN", 10)
    room = Room()
    room.guess("right", answer=None)
    for n in range(200):
        room.guess("wrong", client=f"made-up-{n}", source=str(n))
    guesses = room.guesses
    assert (len(guesses._for_client._windows), len(guesses._for_address._windows)) == (50, 20)
    assert len(guesses._proven) == 1
    for n in range(20):
        room.guess(f"right-{n}", source=f"right-{n}", answer=None)
    assert len(guesses._proven) == 10


async def test_secrets_are_not_kept(room: Room) -> None:
    """What is remembered holds neither a secret nor a client's id, and another process could not make it."""
    room.guess("s3cret")
    room.guess("s3cret too", answer=None)

    def kept(room: Room) -> str:
        guesses = room.guesses
        return repr([guesses._proven, guesses._for_client._windows])

    assert not re.search("s3cret|abc", kept(room))
    other = Room()
    other.guesses = ClientGuesses(
        cast("Addresses", FakeAddresses()), other.clock, SeededEntropy(1), Telemetry("gateway")
    )
    other.guess("s3cret too", answer=None)
    assert other.guesses._proven.keys() != room.guesses._proven.keys()
