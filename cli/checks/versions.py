"""The oldest servers that will do."""

import re
from dataclasses import dataclass

from cli.checks.finding import Findings


@dataclass(frozen=True)
class Oldest:
    """Below `needed` something does not work; below `tested` nobody has tried it."""

    needed: tuple[int, int]
    tested: tuple[int, int]


POSTGRESQL = Oldest(needed=(14, 0), tested=(15, 0))
"""Tells by itself whether a session may write (14)."""

REDIS = Oldest(needed=(6, 2), tested=(7, 0))
"""Has GETDEL and trims streams by id (6.2)."""

RABBITMQ = Oldest(needed=(3, 10), tested=(3, 10))
"""Quorum queues expire messages and hand them on without losing any (3.10)."""


def check_version(findings: Findings, server: str, text: str, oldest: Oldest) -> None:
    """Compare the version that a server tells with the oldest one that will do."""
    found = re.match(r"(\d+)(?:\.(\d+))?", text)
    if found is None:
        findings.warn(server, f"its version is {text!r}, which cannot be read", _hint(oldest))
        return
    version = (int(found[1]), int(found[2] or 0))
    if version < oldest.needed:
        findings.problem(server, f"version {text} is too old", _hint(oldest))
    elif version < oldest.tested:
        findings.warn(server, f"version {text} is older than any that was tried", _hint(oldest))
    else:
        findings.ok(server, f"version {text}")


def _hint(oldest: Oldest) -> str:
    needed, tested = (".".join(map(str, version)) for version in (oldest.needed, oldest.tested))
    return f"it takes {needed}; {tested} or newer is tested"
