"""Which servers a PostgreSQL URL names, and which of them is asked."""

from typing import Any

import asyncpg
import pytest
from asyncpg.exceptions import TargetServerAttributeNotMatched

from shared.postgres.servers import Servers


class FakeServers:
    """Stands in for the driver: notes the URLs that are asked, and refuses as it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refusals: dict[str, Exception] = {}

    async def connect(self, url: str, **_options: Any) -> str:
        """The URL itself, instead of a connection."""
        self.asked.append(url)
        if url in self.refusals:
            raise self.refusals[url]
        return url


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeServers:
    """In place of asyncpg's `connect`."""
    made = FakeServers()
    monkeypatch.setattr(asyncpg, "connect", made.connect)
    return made


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("postgresql://u:p@one:1,two/x?a=b", ["postgresql://u:p@one:1/x?a=b", "postgresql://u:p@two/x?a=b"]),
        ("postgres://one,two,three", ["postgres://one", "postgres://two", "postgres://three"]),
        ("postgresql://[::1]:1,[::2]:2/x", ["postgresql://[::1]:1/x", "postgresql://[::2]:2/x"]),
        ("postgresql://u,v:p%40,q@one/x", ["postgresql://u,v:p%40,q@one/x"]),
        ("postgresql://u,v@/x?host=/run/postgresql", ["postgresql://u,v@/x?host=/run/postgresql"]),
        ("postgresql:///x?host=one,two", ["postgresql:///x?host=one,two"]),
        ("service=x", ["service=x"]),
    ],
)
async def test_every_host_of_a_url_is_asked_once(driver: FakeServers, url: str, each: list[str]) -> None:
    """In their order, each with the same credentials, database and options."""
    driver.refusals = dict.fromkeys(each, ConnectionRefusedError())
    with pytest.raises(ConnectionRefusedError):
        await Servers(url).connect(1.0)
    assert driver.asked == each


async def test_the_one_that_was_right_last_is_asked_first(driver: FakeServers) -> None:
    """Until it is right no more."""
    servers = Servers("postgresql://one,two")
    driver.refusals = {"postgresql://one": TargetServerAttributeNotMatched()}
    assert [str(await servers.connect(1.0)) for _ in range(2)] == ["postgresql://two"] * 2
    assert driver.asked == ["postgresql://one", "postgresql://two", "postgresql://two"]
    driver.refusals = {"postgresql://two": TimeoutError()}
    assert str(await servers.connect(1.0)) == "postgresql://one"


@pytest.mark.parametrize("first", ["one", "two"])
async def test_what_a_server_said_is_told_rather_than_that_another_is_away(driver: FakeServers, first: str) -> None:
    """A wrong password is not hidden by a standby that is being restarted."""
    driver.refusals = {"postgresql://one": asyncpg.InvalidPasswordError(), "postgresql://two": ConnectionRefusedError()}
    hosts = "one,two" if first == "one" else "two,one"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await Servers(f"postgresql://{hosts}").connect(1.0)
