"""When an introspection is answered from memory, and when `token` has to be asked."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

import pytest
from dragoman_verifier import (
    Claims,
    KeysUnavailable,
    RevocationsStale,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
    Verifier,
)
from pydantic import SecretStr

from gateway import introspection as module
from gateway.introspection import Introspector
from gateway.revocations import RevocationFeed
from shared.bus.bus import Bus
from shared.contracts.token import Introspection, IntrospectToken
from shared.errors import Error, ErrorCode, unavailable
from shared.telemetry import Telemetry
from shared.testing import FakeClock, SeededEntropy

LIFE = 600.0
INACTIVE = Introspection(active=False)
FROM_TOKEN = Introspection(active=True, claims={"said": "by token"})


def open_door() -> asyncio.Event:
    """Lets everybody through."""
    door = asyncio.Event()
    door.set()
    return door


@dataclass
class FakeToken:
    """A bus on which only `token` is; `failure` is what it answers instead."""

    failure: Error | None = None
    calls: int = 0
    door: asyncio.Event = field(default_factory=open_door)

    async def call(self, _call: Any) -> Introspection:
        """Answer, once the door is open."""
        self.calls += 1
        await self.door.wait()
        if self.failure is not None:
            raise self.failure
        return FROM_TOKEN


@dataclass
class FakeFeed:
    """Is heard until it is not."""

    prompt: bool = True
    news: dict[str, int] = field(default_factory=dict)

    def news_of_client(self, client_id: str) -> int:
        """How often something happened to the client."""
        return self.news.get(client_id, 0)


@dataclass
class FakeVerifier:
    """Knows some tokens by heart."""

    known: dict[str, Claims | Exception]
    door: asyncio.Event = field(default_factory=open_door)
    asked: int = 0

    async def verify(self, token: str) -> Claims:
        """The claims, or why not."""
        self.asked += 1
        await self.door.wait()
        found = self.known[token]
        if isinstance(found, Exception):
            raise found
        return found


class Room:
    """An introspector with all that is around it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.token = FakeToken()
        self.feed = FakeFeed()
        now = self.clock.now().timestamp()
        raw = {"sub": "ada", "exp": now + LIFE, "amr": ("pwd", "otp"), "more": MappingProxyType({"deep": ("er",)})}
        self.verifier = FakeVerifier(
            {
                "good": claims(MappingProxyType(raw)),
                "expired": TokenExpired("the token has expired"),
                "revoked": TokenRevoked("the token was revoked"),
                "invalid": TokenInvalid("not a JWT"),
                "no keys": KeysUnavailable("the keys are away", retry_after=1),
                "stale": RevocationsStale("the feed is silent", retry_after=1),
            }
        )
        self.telemetry = Telemetry("gateway")
        self.introspector = Introspector(
            cast("Bus", self.token),
            cast("RevocationFeed", self.feed),
            cast("Verifier", self.verifier),
            self.clock,
            SeededEntropy(),
            self.telemetry,
        )

    async def ask(
        self, token: str | None = "good", client: str | None = "abc", secret: str | None = "s3cret"
    ) -> Introspection:
        """One introspection."""
        given = {"client_secret": secret, "token": token}
        hidden = {name: None if value is None else SecretStr(value) for name, value in given.items()}
        return await self.introspector.introspect(IntrospectToken(client_id=client, **hidden))

    async def source(self, token: str = "good", client: str = "abc", secret: str = "s3cret") -> str:
        """Where the answer to one comes from."""
        before = self.token.calls
        await self.ask(token, client, secret)
        return "token" if self.token.calls > before else "memory"

    def counted(self, source: str) -> float:
        """What the metric says."""
        return self.telemetry.registry.get_sample_value("dragoman_introspections_total", {"source": source}) or 0.0


def claims(raw: Any) -> Claims:
    """A token that says this."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Claims("i", "s", ("a",), "c", frozenset(), "t", None, moment, moment, "k", raw)


@pytest.fixture
async def room() -> Room:
    """Everybody is well, and the client has proved itself."""
    made = Room()
    assert await made.source() == "token"
    return made


async def test_the_second_answer_is_from_memory(room: Room) -> None:
    """Once `token` has answered a client it is asked no more about a good token, whose claims are told as they are."""
    assert await room.ask() == Introspection(
        active=True,
        claims={
            "sub": "ada",
            "exp": room.clock.now().timestamp() + LIFE,
            "amr": ["pwd", "otp"],
            "more": {"deep": ["er"]},
            "token_type": "bearer",
        },
    )
    assert room.token.calls == 1
    assert (room.counted("memory"), room.counted("token")) == (1, 1)


@pytest.mark.parametrize("token", ["expired", "revoked"])
async def test_what_is_over_for_certain(room: Room, token: str) -> None:
    """A token that has expired or was revoked is said to be inactive, and nothing else, from memory."""
    assert await room.ask(token) == INACTIVE
    assert room.token.calls == 1


@pytest.mark.parametrize("token", ["invalid", "no keys", "stale"])
async def test_what_is_in_doubt(room: Room, token: str) -> None:
    """Whatever cannot be judged here is judged by `token`."""
    assert await room.ask(token) == FROM_TOKEN
    assert room.token.calls == 2


async def test_the_leeway_is_not_told(room: Room) -> None:
    """A token that the verifier would accept a little longer is inactive from the moment at which it ends."""
    room.clock.advance(LIFE - 1)
    await room.ask("invalid")  # so that the proof is fresh
    assert (await room.ask()).active
    room.clock.advance(1)
    assert await room.ask() == INACTIVE
    assert room.token.calls == 2


@pytest.mark.parametrize(
    ("client", "secret"), [("abc", "wrong"), ("abd", "s3cret"), ("ab", "cs3cret"), ("abcs", "3cret"), ("abc", "")]
)
async def test_nobody_else_is_known(room: Room, client: str, secret: str) -> None:
    """Another secret or another client is for `token` to judge, before the token is even looked at."""
    room.token.failure = Error(ErrorCode.INVALID_CLIENT, "the client is not authenticated")
    with pytest.raises(Error):
        await room.ask("good", client, secret)
    assert room.verifier.asked == 0
    assert await room.source() == "memory"


@pytest.mark.parametrize("missing", ["token", "client", "secret"])
async def test_something_is_missing(room: Room, missing: str) -> None:
    """`token` says what is missing."""
    room.token.failure = Error(ErrorCode.INVALID_REQUEST, "something is missing")
    with pytest.raises(Error):
        await room.ask(**{missing: None})


@pytest.mark.parametrize(("seconds", "source"), [(29.999, "memory"), (30, "token"), (3600, "token"), (-1, "token")])
async def test_a_proof_has_its_time(room: Room, seconds: float, source: str) -> None:
    """After half a minute, or when the clock was put back, a client proves itself anew, and is known again."""
    room.clock.advance(seconds)
    assert await room.source() == source
    assert await room.source() == "memory"


async def test_a_proof_is_as_old_as_its_question(room: Room) -> None:
    """The time that `token` took counts, since the secret may have ended meanwhile."""
    room.clock.advance(30)
    room.token.door.clear()
    asking = asyncio.create_task(room.ask())
    await asyncio.sleep(0)
    room.clock.advance(30)
    room.token.door.set()
    await asking
    assert await room.source() == "token"


async def test_while_the_feed_is_silent(room: Room) -> None:
    """What was revoked is not known while the feed is silent, so that `token` is asked; afterwards not any more."""
    room.feed.prompt = False
    assert await room.source() == "token"
    room.feed.prompt = True
    assert await room.source() == "memory"


async def test_news_of_the_client(room: Room) -> None:
    """A client whose secrets may have been withdrawn proves itself anew, and others do not."""
    await room.ask(client="other")
    room.feed.news["abc"] = 1
    assert await room.source(client="other") == "memory"
    assert await room.source() == "token"
    assert await room.source() == "memory"
    room.feed.news["abc"] = 2
    assert await room.source() == "token"


async def test_news_while_token_is_asked(room: Room) -> None:
    """A secret that is withdrawn while `token` answers is not remembered."""
    room.clock.advance(30)
    room.token.door.clear()
    asking = asyncio.create_task(room.ask())
    await asyncio.sleep(0)
    room.feed.news["abc"] = 1
    room.token.door.set()
    await asking
    assert await room.source() == "token"


@pytest.mark.parametrize("happens", ["silence", "news", "time"])
async def test_while_the_token_is_verified(room: Room, happens: str) -> None:
    """What ends a proof while keys are fetched ends it for this answer too."""
    room.verifier.door.clear()
    asking = asyncio.create_task(room.ask())
    await asyncio.sleep(0)
    match happens:
        case "silence":
            room.feed.prompt = False
        case "news":
            room.feed.news["abc"] = 1
        case _:
            room.clock.advance(30)
    room.verifier.door.set()
    assert await asking == FROM_TOKEN


async def test_a_refused_client_is_forgotten(room: Room) -> None:
    """When `token` refuses a client that was known, as after a rotation, it is not known any more."""
    room.token.failure = Error(ErrorCode.INVALID_CLIENT, "the client is not authenticated")
    with pytest.raises(Error):
        await room.ask("invalid")
    with pytest.raises(Error):
        await room.ask()


async def test_an_outage_is_no_refusal(room: Room) -> None:
    """While `token` is away a client that has proved itself is told what is certain, and `unavailable` for the rest."""
    room.token.failure = unavailable("nobody serves token")
    with pytest.raises(Error) as told:
        await room.ask("invalid")
    assert told.value.code == ErrorCode.UNAVAILABLE
    assert (await room.ask()).active
    room.clock.advance(30)
    with pytest.raises(Error):
        await room.ask()


async def test_only_so_many_are_known(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many clients those that proved themselves longest ago are forgotten first."""
    monkeypatch.setattr(module, "_MOST_PROOFS", 2)
    await room.ask(client="second")
    await room.ask("invalid")  # the first one proves itself once more
    await room.ask(client="third")
    assert await room.source() == "memory"
    assert await room.source(client="third") == "memory"
    assert await room.source(client="second") == "token"
