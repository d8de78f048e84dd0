"""Operators' work on security settings over the bus, for people and for programs."""

import os
import pwd
from typing import Any

import pytest

from tests.integration.cli.conftest import Command

NAMES = ["allow_new_users", "email_second_factor_default", "limits", "otp_enabled", "otp_ttl_seconds"]


def values(settings: list[dict[str, Any]]) -> dict[str, str]:
    """The value of each."""
    return {setting["name"]: setting["value"] for setting in settings}


async def test_settings(dragoman: Command) -> None:
    """Settings are listed, read, changed and put back; a change tells who made it and when."""
    listed = (await dragoman("settings", "list", "--json")).json()
    assert [setting["name"] for setting in listed] == NAMES
    assert values(listed) == dict(zip(NAMES, ["false", "false", "", "false", ""], strict=True))
    assert {setting["changed_by"] for setting in listed} == {None}
    [changed] = (await dragoman("settings", "set", "otp_enabled", "yes", "--by", "ada", "--json")).json()
    assert (changed["value"], changed["default"], changed["changed_by"]) == ("true", "false", "ada")
    assert changed["changed_at"].endswith("Z")
    assert (await dragoman("settings", "get", "otp_enabled", "--json")).json() == changed
    assert (await dragoman("settings", "get", "otp_enabled")).out == "true\n"
    [reset] = (await dragoman("settings", "reset", "otp_enabled", "--json")).json()
    assert (reset["value"], reset["changed_by"]) == ("false", pwd.getpwuid(os.getuid()).pw_name)
    [limits] = (await dragoman("settings", "set", "limits", "/v1/login address=5/60; /otp/send off", "--json")).json()
    assert limits["value"] == "/v1/login address=5/60; /otp/send off"


async def test_for_people(dragoman: Command) -> None:
    """Each command shows a table; what is empty, and what nobody has changed, is a dash."""
    table = (await dragoman("settings", "list")).out.splitlines()
    assert [line.split() for line in table[:2]] == [
        ["NAME", "VALUE", "DEFAULT", "CHANGED", "BY"],
        ["allow_new_users", "false", "false", "-", "-"],
    ]
    changed = (await dragoman("settings", "set", "otp_ttl_seconds", "120", "--by", "ada")).out.splitlines()
    assert [changed[1].split()[place] for place in (0, 1, 2, 4)] == ["otp_ttl_seconds", "120", "-", "ada"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("get", "otp"), f"no such security setting; there are {', '.join(NAMES)}"),
        (("set", "otp", "on"), f"no such security setting; there are {', '.join(NAMES)}"),
        (("reset", "otp"), f"no such security setting; there are {', '.join(NAMES)}"),
        (("set", "otp_ttl_seconds", "59"), "otp_ttl_seconds: input should be greater than or equal to 60"),
        (("set", "otp_enabled", "on", "--by", ""), "changed_by: must be a printable name of 1 to 200 characters"),
        (("set", "limits", "/v1/login account=5"), "limits: /v1/login: account=5: neither N/SECONDS nor off"),
    ],
)
async def test_what_makes_no_sense(dragoman: Command, arguments: tuple[str, ...], problem: str) -> None:
    """What cannot be is refused with status 1 and one line, and nothing changes."""
    before = (await dragoman("settings", "list", "--json")).json()
    ended = await dragoman("settings", *arguments)
    assert (ended.status, ended.out, ended.err) == (1, "", f"Error: {problem}\n")
    assert (await dragoman("settings", "list", "--json")).json() == before
