"""How fast a revoked token dies, and what happens while nobody can tell."""

import asyncio
import time
from typing import Any

import pytest
from dragoman_verifier import Revocations, RevocationsStale, TokenRevoked, Verifier, prometheus
from dragoman_verifier.revocations import Revocation, RevokedSet, read_revocation
from dragoman_verifier.sse import Event, Parser
from dragoman_verifier.web import Unusable

from tests.support.waiting import eventually
from tests.verifier.conftest import Make
from tests.verifier.issuer import Issuer
from tests.verifier.signing import Clock

SECONDS = 10
KINDS = [
    ("token", "token-1", None),
    ("session", "session-1", None),
    ("key", "key-1", None),
    ("user", "user-1", 1.0),
    ("user", "user-1", None),
    ("client", "client-1", 0.0),
    ("client", "client-1", None),
]


def following(**changed: Any) -> Revocations:
    """Settings of a verifier that follows the feed."""
    return Revocations(**{"client_id": "verifier", "client_secret": "s3cret:/+"} | changed)


async def refused(verifier: Verifier, token: str) -> None:
    """Wait until the token is refused as revoked."""

    async def look() -> bool | None:
        try:
            await verifier.verify(token)
        except TokenRevoked:
            return True
        return None

    await eventually(look, SECONDS, "refused")


async def in_state(verifier: Verifier, state: str) -> None:
    """Wait until the health says so."""

    async def look() -> bool | None:
        return verifier.health().revocations == state or None

    await eventually(look, SECONDS, state)


@pytest.mark.parametrize(("kind", "value", "after"), KINDS)
async def test_revoked_while_running(
    issuer: Issuer, start: Make, clock: Clock, kind: str, value: str, after: float | None
) -> None:
    """A token that was accepted a moment ago is refused when it, its session, user, client or key is revoked."""
    verifier, token = await start(revocations=following()), issuer.token()
    await verifier.verify(token)
    issuer.revoke(kind, "another", None if after is None else clock() + after)
    issuer.revoke("brand-new-kind", value)
    issuer.revoke(kind, value, None if after is None else clock() + after)
    await refused(verifier, token)
    assert verifier.health().revoked == 2


@pytest.mark.parametrize(("kind", "value", "after"), KINDS)
async def test_revoked_before_the_start(
    issuer: Issuer, start: Make, clock: Clock, kind: str, value: str, after: float | None
) -> None:
    """A service that starts after the revocation refuses the token from its first request on."""
    issuer.revoke(kind, value, None if after is None else clock() + after)
    verifier = await start(revocations=following())
    with pytest.raises(TokenRevoked):
        await verifier.verify(issuer.token())


@pytest.mark.parametrize(("kind", "value", "after"), [("user", "user-1", 0.0), ("client", "client-1", -0.5)])
async def test_issued_after_the_revocation(
    issuer: Issuer, start: Make, clock: Clock, kind: str, value: str, after: float
) -> None:
    """Who signs in again after a revocation gets in."""
    issuer.revoke(kind, value, clock() + after)
    verifier = await start(revocations=following())
    await verifier.verify(issuer.token())


async def test_without_a_feed(issuer: Issuer, verifier: Verifier) -> None:
    """A verifier that follows no feed says so, and asks for none."""
    await verifier.verify(issuer.token())
    assert verifier.health().revocations == "off"
    assert issuer.asked["/.well-known/revocations"] == 0
    assert "revocations_live" not in prometheus(verifier.health())


async def test_metrics(issuer: Issuer, start: Make) -> None:
    """The state can be scraped."""
    verifier = await start(revocations=following())
    await verifier.verify(issuer.token())
    text = prometheus(verifier.health())
    assert "\ndragoman_verifier_revocations_live 1\n" in text
    assert text.startswith("# HELP dragoman_verifier_keys Public keys at hand.\n# TYPE dragoman_verifier_keys gauge\n")


async def test_silence_refuses(issuer: Issuer, start: Make, clock: Clock) -> None:
    """When the feed is silent for too long and the owner chose to refuse, nobody gets in until it speaks again."""
    verifier, token = await start(revocations=following()), issuer.token()
    await verifier.verify(token)
    issuer.feed_mood = "down"
    issuer.drop_streams()

    async def lost() -> bool | None:
        return verifier.health().revocations_problem is not None or None

    await eventually(lost, SECONDS, "the loss is seen")
    clock.pass_(60)
    await verifier.verify(token)
    clock.pass_(1)
    with pytest.raises(RevocationsStale) as raised:
        await verifier.verify(token)
    assert raised.value.retry_after > 0
    health = verifier.health()
    assert (health.revocations, health.revocations_age) == ("stale", pytest.approx(61, abs=1))
    issuer.revoke("session", "session-1")
    issuer.feed_mood = "well"
    await in_state(verifier, "live")
    with pytest.raises(TokenRevoked):
        await verifier.verify(token)


async def test_silence_accepts(issuer: Issuer, start: Make) -> None:
    """When the owner chose to accept, tokens pass while the feed is silent, except known revoked ones; health tells."""
    issuer.revoke("session", "session-9")
    verifier = await start(revocations=following(when_stale="accept", max_staleness=0.5), monotonic=time.monotonic)
    await verifier.verify(issuer.token())
    issuer.feed_mood = "silent"
    await in_state(verifier, "stale")
    await verifier.verify(issuer.token())
    with pytest.raises(TokenRevoked):
        await verifier.verify(issuer.token(sid="session-9"))


@pytest.mark.parametrize("when_stale", ["refuse", "accept"])
async def test_no_feed_at_the_start(issuer: Issuer, start: Make, when_stale: str) -> None:
    """A service that starts while the feed is down waits a moment for it, then does what its owner chose."""
    issuer.feed_mood = "down"
    verifier = await start(revocations=following(when_stale=when_stale, startup_timeout=0.2), monotonic=time.monotonic)
    if when_stale == "accept":
        await verifier.verify(issuer.token())
    else:
        with pytest.raises(RevocationsStale):
            await verifier.verify(issuer.token())
    assert verifier.health().revocations == "stale"
    issuer.feed_mood = "well"
    await in_state(verifier, "live")
    await verifier.verify(issuer.token())


async def test_reconnecting(issuer: Issuer, start: Make) -> None:
    """After a lost connection the feed goes on where it stopped, and nothing that was revoked meanwhile is missed."""
    verifier, token = await start(revocations=following()), issuer.token()
    await verifier.verify(token)
    issuer.revoke("session", "session-2")
    await refused(verifier, issuer.token(sid="session-2"))
    issuer.drop_streams()
    issuer.revoke("session", "session-1")
    await refused(verifier, token)
    assert issuer.resumed_from[:2] == ["0", "1"]
    assert issuer.asked["snapshot"] == 1


async def test_a_connection_that_died_unnoticed(issuer: Issuer, start: Make) -> None:
    """A connection on which nothing comes is given up and made anew, from where it stopped."""
    await start(revocations=following(max_staleness=0.4), monotonic=time.monotonic)
    issuer.feed_mood = "silent"

    async def again() -> bool | None:
        return len(issuer.resumed_from) >= 2 or None

    await eventually(again, SECONDS, "a new connection")


async def test_revoked_until_the_leeway_is_over(issuer: Issuer, start: Make, clock: Clock) -> None:
    """A revoked token stays refused while it would be accepted after its expiry for clocks that differ."""
    verifier, token = await start(revocations=following()), issuer.token()
    issuer.revoke("session", "session-1", expires_at=clock() + 600)
    await refused(verifier, token)
    clock.pass_(630)
    issuer.revoke("session", "session-2")
    await refused(verifier, issuer.token(sid="session-2"))
    with pytest.raises(TokenRevoked):
        await verifier.verify(token)


async def test_reset(issuer: Issuer, start: Make) -> None:
    """When the gateway no longer knows where the verifier stopped, a new snapshot is taken."""
    verifier, token = await start(revocations=following()), issuer.token()
    await verifier.verify(token)
    issuer.revoke("session", "session-1")
    issuer.forget_cursors()
    await refused(verifier, token)
    await in_state(verifier, "live")

    async def again() -> bool | None:
        return issuer.asked["snapshot"] >= 2 or None

    await eventually(again, SECONDS, "a new snapshot")


async def test_garbage_in_the_feed(issuer: Issuer, start: Make) -> None:
    """An event that cannot be read may have been a revocation, so a new snapshot is taken."""
    verifier, token = await start(revocations=following()), issuer.token()
    await verifier.verify(token)
    issuer.feed_mood = "garbage"

    async def seen() -> bool | None:
        return "malformed" in (verifier.health().revocations_problem or "") or None

    await eventually(seen, SECONDS, "the problem is told")
    issuer.revoke("session", "session-1")
    await refused(verifier, token)
    issuer.feed_mood = "well"
    await in_state(verifier, "live")


async def test_wrong_secret(issuer: Issuer, start: Make) -> None:
    """A verifier that may not read the feed says why in its health, without the secret."""
    settings = following(client_secret="wrong", startup_timeout=0.2)
    verifier = await start(revocations=settings, monotonic=time.monotonic)
    with pytest.raises(RevocationsStale, match="401"):
        await verifier.verify(issuer.token())
    assert "wrong" not in repr(settings) + str(verifier.health())


def test_settings_that_make_no_sense() -> None:
    """A mistake in the settings is told when the service starts."""
    for changed in ({"when_stale": "ignore"}, {"max_staleness": 0}, {"startup_timeout": -1}):
        with pytest.raises(ValueError, match=r"when_stale|max_staleness"):
            following(**changed)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"kind": 7},
        {"kind": "user", "value": 7, "expires_at": 1},
        {"kind": "user", "value": "a"},
        {"kind": "user", "value": "a", "expires_at": None},
        {"kind": "user", "value": "a", "expires_at": True},
        {"kind": "user", "value": "a", "expires_at": float("nan")},
        {"kind": "user", "value": "a", "expires_at": 10**400},
        {"kind": "user", "value": "a", "expires_at": 1, "issued_before": "1"},
    ],
)
def test_entries_that_cannot_be_read(entry: object) -> None:
    """A malformed entry is never passed over in silence, one of a kind yet to come is."""
    with pytest.raises(Unusable):
        read_revocation(entry)
    assert read_revocation({"kind": "tenant", "value": 7}) is None


@pytest.mark.parametrize("snapshot", [{"cursor": 7}, {"revocations": {}}, {"revocations": [{"kind": "user"}]}])
async def test_a_snapshot_that_cannot_be_read(issuer: Issuer, start: Make, snapshot: dict[str, Any]) -> None:
    """A snapshot that makes no sense counts as none."""
    issuer.snapshot = snapshot
    verifier = await start(revocations=following(startup_timeout=0.2), monotonic=time.monotonic)
    with pytest.raises(RevocationsStale, match="malformed"):
        await verifier.verify(issuer.token())


async def test_a_feed_that_is_no_feed(issuer: Issuer, start: Make) -> None:
    """A proxy that answers with a page of its own does not count as a sign of life."""
    issuer.feed_type = "text/html"
    verifier = await start(revocations=following(max_staleness=0.5), monotonic=time.monotonic)

    async def told() -> bool | None:
        return "text/html" in str(verifier.health().revocations_problem) or None

    await eventually(told, SECONDS, "the problem is told")
    await in_state(verifier, "stale")


async def test_stopping_while_nothing_answers(issuer: Issuer, clock: Clock) -> None:
    """A service can stop at any time, also while it waits for the issuer."""
    issuer.mood = "slow"
    async with asyncio.timeout(2):
        async with Verifier(issuer.url, "api", revocations=following(), clock=clock) as verifier:
            waiting = asyncio.create_task(verifier.verify(issuer.token(aud="api")))

            async def asked() -> bool | None:
                return issuer.asked.total() > 0 or None

            await eventually(asked, SECONDS, "the issuer is asked")
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_entries_are_dropped_in_time() -> None:
    """What was revoked is forgotten when no token that it concerns can be valid any more, and not before."""
    revoked = RevokedSet(grace=60)
    revoked.add(Revocation("session", "a", 0, expires_at=100), now=0)
    revoked.add(Revocation("session", "a", 0, expires_at=200), now=0)
    revoked.add(Revocation("session", "b", 0, expires_at=100), now=0)
    revoked.prune(159)
    assert len(revoked) == 2
    revoked.prune(160)
    assert len(revoked) == 1
    revoked.prune(260)
    assert len(revoked) == 0


def test_events_in_pieces() -> None:
    """Events are understood however the network cuts them up."""
    stream = (
        b": hello\r\nid: 1\r\nevent: revocation\r\ndata: a\r\ndata:b\r\n\r\nid: 2\n\nevent: heartbeat\ndata: {}\n\n"
    )
    parser = Parser()
    events = [event for n in range(len(stream)) for event in parser.feed(stream[n : n + 1])]
    assert events == [Event("revocation", "a\nb", "1"), Event("heartbeat", "{}")]


@pytest.mark.parametrize("stream", [b"x" * 70_000, b"data: xxxxxxxx\n" * 7_000, b"data: \xff\n\n"])
def test_events_that_cannot_be(stream: bytes) -> None:
    """An event without end, or not in UTF-8, fills no memory and breaks nothing."""
    with pytest.raises(Unusable):
        list(Parser().feed(stream))
