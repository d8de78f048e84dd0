"""How far the clock of this machine is from that of a server."""

from datetime import datetime

from cli.checks.finding import Findings

_NOTABLE_SECONDS = 2.0
_TOO_FAR_SECONDS = 30.0
"""Half of the 60 s that verifiers allow: one clock may be as far off to the other side."""


def check_clock(findings: Findings, server: str, before: datetime, told: datetime, after: datetime) -> None:
    """Compare what a server has `told` with this machine's clock `before` and `after` it was asked."""
    half = (after - before) / 2
    offset = (told - (before + half)).total_seconds()
    sure = max(0.0, abs(offset) - half.total_seconds())
    found = f"{abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} this machine"
    hint = "have one source of time for all (NTP): tokens and codes live by the clock"
    if sure > _TOO_FAR_SECONDS:
        findings.problem(server, found, hint)
    elif sure > _NOTABLE_SECONDS:
        findings.warn(server, found, hint)
    else:
        findings.ok(server, f"within {abs(offset) + half.total_seconds():.2f} s of this machine")
