"""Operators' work on signing keys over the bus, for people and for programs."""

from typing import Any

from tests.integration.cli.conftest import Command

COLUMNS = {"kid", "algorithm", "state", "created_at", "activates_at", "retired_at", "wrapped_by"}


def states(keys: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What each key does."""
    return [(key["algorithm"], key["state"]) for key in keys]


async def test_keys(dragoman: Command) -> None:
    """Keys are listed, rotated, retired, revoked and encrypted anew; each command shows the keys after it."""
    listed = (await dragoman("keys", "list", "--json")).json()
    assert states(listed) == [("ES256", "active"), ("ES256", "next")]
    assert all(set(key) == COLUMNS for key in listed)
    waiting = (await dragoman("keys", "rotate", "--json")).json()
    assert states(waiting) == [("ES256", "active"), ("ES256", "next"), ("ES256", "next")]
    changed = (await dragoman("keys", "rotate", "--algorithm", "RS256", "--now", "--json")).json()
    assert states(changed) == [("RS256", "active"), ("RS256", "next"), ("ES256", "retired")]
    retired = (await dragoman("keys", "retire", changed[0]["kid"], "--json")).json()
    assert [key["kid"] for key in retired if key["state"] == "active"] == [changed[1]["kid"]]
    revoked = (await dragoman("keys", "revoke", retired[0]["kid"], "--json")).json()
    assert retired[0]["kid"] not in {key["kid"] for key in revoked}
    assert revoked[0]["state"] == "active"
    assert (await dragoman("keys", "rewrap", "--json")).json() == revoked
    table = (await dragoman("keys", "list")).out.splitlines()
    assert table[0].split()[:3] == ["KID", "ALGORITHM", "STATE"]
    assert [line.split()[0] for line in table[1:]] == [key["kid"] for key in revoked]


async def test_unknown_key(dragoman: Command) -> None:
    """A key that there is not is refused with status 1 and one line."""
    for command in ("retire", "revoke"):
        ended = await dragoman("keys", command, "nobody")
        assert (ended.status, ended.out, ended.err) == (1, "", "Error: there is no such signing key\n")
