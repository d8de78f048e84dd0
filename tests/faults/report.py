"""What was measured of each fault, kept under .run/faults/, and docs/faults.md, which is made of it.

`make test-faults` measures and prints the table, `make faults-page` writes the page.
"""

import json
import os
import platform as machine
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support.platform import ROOT

FOLDER = ROOT / ".run" / "faults"
GROUPS = (
    "replicas",
    "rolling restart",
    "RabbitMQ",
    "Redis",
    "PostgreSQL",
    "mail and SMS",
    "disk full and poison",
    "versions",
    "clock",
    "connections",
    "cancellations",
)


@dataclass(frozen=True)
class Finding:
    """What came of one fault; what was not measured is None.

    `group` is one of GROUPS, `held` what was seen to hold, in a few words. `recovery` is in seconds after the thing was
    back, `slowest_error` the longest that a client waited for an answer that was none.
    """

    fault: str
    group: str
    held: str
    requests: int | None = None
    errors: dict[str, int] | None = None
    wrong: int | None = None
    slowest_error: float | None = None
    recovery: float | None = None
    lost: int | None = None
    doubled: int | None = None
    long: bool = False
    more: dict[str, float | int | str] = field(default_factory=dict)


def keep(finding: Finding, folder: Path = FOLDER) -> None:
    """Print the finding, and keep it in place of an earlier one of the same fault and length."""
    assert finding.group in GROUPS, finding.group
    line = json.dumps(asdict(finding), sort_keys=True)
    print(f"\nfault: {line}")  # noqa: T201 - what a run of the tests is read for
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", f"{finding.group} {finding.fault}".lower()).strip("-")
    (folder / f"{name}{'.long' if finding.long else ''}.json").write_text(line + "\n")


def kept(folder: Path = FOLDER) -> list[Finding]:
    """The findings that there are, in the order of GROUPS; of a fault with a long form only that.

    The two forms may have other numbers in their names.
    """
    found = [Finding(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    long = {_without_numbers(one) for one in found if one.long}
    newest = [one for one in found if one.long or _without_numbers(one) not in long]
    return sorted(newest, key=lambda one: GROUPS.index(one.group))


def table(findings: list[Finding]) -> str:
    """The findings as Markdown."""
    return "\n".join(_lines(findings)) + "\n"


def _lines(findings: list[Finding]) -> Iterator[str]:
    yield "| | fault | requests | errors | wrong | slowest error | recovered | lost | doubled | what was seen |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    group = ""
    for one in findings:
        errors = None if one.errors is None else ", ".join(f"{n} × {what}" for what, n in one.errors.items()) or "0"
        cells = (
            "" if one.group == group else one.group,
            one.fault,
            _cell(one.requests),
            _cell(errors),
            _cell(one.wrong),
            _seconds(one.slowest_error if one.errors else None),
            _seconds(one.recovery),
            _cell(one.lost),
            _cell(one.doubled),
            one.held + "".join(f"; {name}: {value}" for name, value in one.more.items()),
        )
        group = one.group
        yield f"| {' | '.join(cells)} |"


def _without_numbers(finding: Finding) -> str:
    return re.sub(r"\b[\d,.]+\b", "", f"{finding.group}: {finding.fault}")


def _cell(value: int | str | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else value


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def page(findings: list[Finding]) -> str:
    """The whole of docs/faults.md."""
    where = f"{os.cpu_count()} cores that also carry clients, servers and platform; Python {machine.python_version()}"
    return _PAGE.format(where=where, table=table(findings))


_PAGE = """\
# What happens when something dies

Made by `make faults-page` from what `make test-faults` measured, on {where}.
Each row is a test under `tests/faults`: clients of every kind go on asking while real processes are killed, stopped,
frozen or cut off, and judge each answer. `make test` runs a short form of each.

- **errors**: answers other than what was asked for, by status. Each 503 had `Retry-After` and the dialect's own words,
  or it would be a wrong answer.
- **wrong**: what must never be: a revoked token that is accepted, a token or session of somebody else, a session lost.
- **slowest error**: how long a client waited at most to be told that there is no answer.
- **recovered**: seconds from the return of what was away to the last answer that failed; 0.0 is none at all.
- **lost**, **doubled**: codes that were promised and did not come, and events never published; codes that came twice.

{table}
What stops and what goes on while a part is away is in the [README](../README.md#when-a-part-is-away).

## What your clients and operators should know

- A client that gets a 503, or no answer, may ask again. A refresh token may be presented again for
  `DRAGOMAN_TOKEN_REFRESH_GRACE_SECONDS` (10) after its successor was made; an outage that swallows an answer and lasts
  longer ends that one session, as a replay would. The tests set the grace to 120 seconds.
- Signing in is never done twice by the platform: a sign-in in the hands of a replica that dies is told as 503.
- A rolling restart without any error needs a gateway that goes on answering until no balancer sends it anything: set
  `DRAGOMAN_GATEWAY_LEAVE_SECONDS` to a little more than your balancer takes to notice `/readyz`. Meanwhile it answers
  with `Connection: close`, so that clients who keep connections come back to another replica. Services need nothing.
- When connections to the broker are cut, a call may go with the queue of a service that comes back later than its
  caller. In an earlier run one request was told so after its 3 seconds rather than at once.
- A failover of PostgreSQL needs no restart where the URLs name both servers; what it may lose is up to how commits wait
  for the standby: [postgresql.md](postgresql.md).
- While Redis is away, what is revoked is refused at once by the gateway that was asked, and by the other gateways and
  services when Redis is back: [redis.md](redis.md).
- A gateway that is killed takes the requests in its hands along; no other can answer on its connections.
- Two versions may answer side by side, in any mixture, and `dragoman migrate` may run under load, before or after its
  version comes. It waits for long transactions, such as a backup's, for two minutes and then says so; run it again.
- Replicas of `token` whose clocks differ by more than the refresh grace take a refresh token that comes again for a
  replay. A user who was revoked by the one that is ahead signs in by the other one only when its clock is there too.
  `dragoman doctor` tells how far clocks are apart.
"""


if __name__ == "__main__":
    text = page(kept()) if "--page" in sys.argv[1:] else table(kept())
    print(text, end="")  # noqa: T201 - that is what it is for
