"""Clients of every kind who go on asking at a steady rate, judge every answer, and tell when a fault is over."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Protocol, Self

import orjson
from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout, TCPConnector

from tests.faults.report import Finding
from tests.support.leaks import USED_SECRETS
from tests.support.waiting import eventually

PATIENCE_SECONDS = 8.0
"""How long a client waits for an answer: longer than the gateway, which has to say something after 5 s."""
NO_ANSWER = "no answer"
_WELL_IN_A_ROW = 3
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; the status is 0 when nothing did."""

    status: int
    text: str
    sent_at: float
    ended_at: float
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.status == 200

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object; empty when it is none."""
        try:
            parsed = orjson.loads(self.text)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the traffic: of which kind of client, when, and what came of it."""

    kind: str
    sent_at: float
    ended_at: float
    status: str
    failed: bool


class Client(Protocol):
    """One client with something to do again and again."""

    kind: str
    period: float

    async def prepare(self, ask: "Asker") -> None:
        """Get what the turns need, while all is well."""

    async def turn(self, ask: "Asker") -> None:
        """One request, or a few that belong together. Tells `ask.wrong` what must not have been."""


class Asker:
    """What one client asks with: the next gateway each time. Everything asked is written down."""

    def __init__(self, traffic: "Traffic", client: Client) -> None:
        self._traffic = traffic
        self.kind = client.kind

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, str] | None = None,
        *,
        bearer: str = "",
        fine: tuple[int, ...] = (200,),
    ) -> Reply:
        """Any request, and its reply, whatever it is; a status that is not `fine` counts as an error."""
        return await self._traffic.ask(self.kind, method, path, body, bearer, fine)

    async def patiently(self, method: str, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        """A request that is repeated until it succeeds."""

        async def succeed() -> dict[str, Any] | None:
            reply = await self.ask(method, path, body)
            return reply.body if reply.ok else None

        return await eventually(succeed, _START_SECONDS, f"{self.kind} can begin")

    def wrong(self, what: str) -> None:
        """Write down an answer that must not be, whatever is broken."""
        self._traffic.wrong.append(f"{self.kind}: {what}")


class Traffic:
    """The clients ask while inside, each at its own rate, the next gateway of `urls` each time.

    Counts requests, errors by status and wrong answers: all of them, and those of each `fault`. An answer that says 503
    without Retry-After, or in another shape than the dialect's, is a wrong one too.
    """

    def __init__(self, urls: Sequence[str], clients: Sequence[Client], *, keep_alive: bool = True) -> None:
        """With `keep_alive` off each request comes on a connection of its own."""
        self._urls = urls
        self._clients = clients
        self._keep_alive = keep_alive
        self._turn = count()
        self._tasks: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()
        self.asked: list[Asked] = []
        self.wrong: list[str] = []

    async def __aenter__(self) -> Self:
        """Begin; returns when every client has been answered well a few times in a row."""
        connector = TCPConnector(limit=0, force_close=not self._keep_alive)
        self._http = ClientSession(connector=connector, timeout=ClientTimeout(PATIENCE_SECONDS))
        try:
            askers = [Asker(self, client) for client in self._clients]
            for client, asker in zip(self._clients, askers, strict=True):
                await client.prepare(asker)
            self._tasks = [
                asyncio.create_task(self._go_on(client, asker))
                for client, asker in zip(self._clients, askers, strict=True)
            ]
            await self.well(_START_SECONDS)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End after the answers that are awaited; raises what a client has raised."""
        await self._end()

    def fault(self, name: str) -> "Fault":
        """A fault that begins now."""
        return Fault(self, name, _now(), first=len(self.asked), first_wrong=len(self.wrong))

    async def well(self, within: float, since: float | None = None) -> None:
        """Return when each kind of client has had three good answers in a row to requests sent after `since` (now)."""
        from_then_on = _now() if since is None else since
        kinds = {client.kind for client in self._clients}

        async def all_well() -> bool | None:
            self._raise_what_was_raised()
            return True if all(self._good_in_a_row(kind, from_then_on) >= _WELL_IN_A_ROW for kind in kinds) else None

        await eventually(all_well, within, f"every kind of request succeeds again; lately {self._lately()}")

    async def more(self, number: int, within: float = 20.0) -> None:
        """Return after so many further answers to each kind of client, good or not."""
        goals = {kind: have + number for kind, have in self._counts().items()}

        async def reached() -> bool | None:
            self._raise_what_was_raised()
            now = self._counts()
            return True if all(now[kind] >= goal for kind, goal in goals.items()) else None

        await eventually(reached, within, f"{number} more answers of each kind")

    async def ask(
        self, kind: str, method: str, path: str, body: Mapping[str, str] | None, bearer: str, fine: tuple[int, ...]
    ) -> Reply:
        """One request of a client; `Asker.ask` is the way here."""
        url = self._urls[next(self._turn) % len(self._urls)] + path
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else None
        sent_at = _now()
        try:
            async with self._http.request(method, url, json=body, headers=headers) as response:
                text = await response.text()
            reply = Reply(response.status, text, sent_at, _now(), response.headers.get("Retry-After"))
            status = str(reply.status)
        except (ClientError, TimeoutError) as error:
            reply = Reply(0, "", sent_at, _now())
            status = f"{NO_ANSWER} ({_word_for(error)})"
        self.asked.append(Asked(kind, sent_at, reply.ended_at, status, reply.status not in fine))
        if reply.status == 503 and not (reply.retry_after and reply.body.get("error")):
            self.wrong.append(f"{kind}: 503 without Retry-After or in a strange shape: {reply.text[:200]}")
        USED_SECRETS.note_fields(body)
        USED_SECRETS.note_fields(reply.body)
        return reply

    async def _go_on(self, client: Client, asker: Asker) -> None:
        due = _now()
        while not self._over.is_set():
            await client.turn(asker)
            due = max(due + client.period, _now())
            await asyncio.sleep(due - _now())  # the pause is what makes the rate

    async def _end(self) -> None:
        self._over.set()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await self._http.close()

    def _raise_what_was_raised(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    def _good_in_a_row(self, kind: str, since: float) -> int:
        number = 0
        for asked in reversed(self.asked):
            if asked.ended_at < since:  # answers are written down in the order of their ends
                break
            if asked.kind == kind and asked.sent_at >= since:
                if asked.failed:
                    break
                number += 1
        return number

    def _counts(self) -> Counter[str]:
        return Counter(asked.kind for asked in self.asked)

    def _lately(self) -> dict[str, str]:
        return {asked.kind: asked.status for asked in self.asked[-100:]}


@dataclass
class Fault:
    """One fault, from its beginning on, and what the traffic saw of it."""

    traffic: Traffic
    name: str
    began: float
    first: int
    first_wrong: int
    ended: float | None = None
    recovery: float | None = None
    last: int | None = None
    last_wrong: int | None = None

    def over(self) -> None:
        """What had gone is back, from now on."""
        self.ended = _now()

    async def recovered(self, within: float) -> float:
        """Wait until all is well again; the seconds after `over` at which the last failing answer came, 0 for none.

        Without `over` it is counted from the beginning; of a fault that comes again and again, the longest is kept.
        """
        back = self.began if self.ended is None else self.ended
        await self.traffic.well(within, since=back)
        took = max((asked.ended_at - back for asked in self.asked if asked.failed), default=0.0)
        self.recovery = max(0.0, took, self.recovery or 0.0)
        return self.recovery

    def close(self) -> None:
        """What comes from now on belongs to it no more."""
        self.last, self.last_wrong = len(self.traffic.asked), len(self.traffic.wrong)

    @property
    def asked(self) -> list[Asked]:
        """What was answered since it began, until it was closed."""
        return self.traffic.asked[self.first : self.last]

    @property
    def wrong(self) -> list[str]:
        """Answers in that time that must not be."""
        return self.traffic.wrong[self.first_wrong : self.last_wrong]

    def errors(self, *kinds: str, since: float | None = None) -> dict[str, int]:
        """How many failed, by status: of these kinds of clients (default: all), sent after `since` (its beginning)."""
        return dict(
            Counter(
                asked.status
                for asked in self.asked
                if asked.failed and (not kinds or asked.kind in kinds) and asked.sent_at >= (since or 0.0)
            )
        )

    def slowest_error(self, *, sent_within: tuple[float, float] | None = None) -> float:
        """Seconds that the slowest failure took; of requests sent within two moments, if given."""
        first, last = sent_within or (0.0, float("inf"))
        return max(
            (one.ended_at - one.sent_at for one in self.asked if one.failed and first <= one.sent_at <= last),
            default=0.0,
        )

    def finding(self, **more: Any) -> Finding:
        """All of it, for the report: `report.keep` it. `more` are further fields of a `Finding`."""
        return Finding(
            fault=self.name,
            requests=len(self.asked),
            errors=self.errors(),
            wrong=len(self.wrong),
            slowest_error=round(self.slowest_error(), 2),
            recovery=None if self.recovery is None else round(self.recovery, 2),
            **more,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _word_for(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "time-out"
    return "connection" if isinstance(error, ClientConnectionError) else type(error).__name__
