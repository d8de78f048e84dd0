"""`dragoman doctor`: what is wrong with a deployment, if anything."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module

import click

from cli.checks.finding import Finding
from cli.clients import JSON
from cli.output import show, table
from shared.clock import SystemClock
from shared.entropy import SystemEntropy
from shared.settings import environment
from shared.telemetry import configure_logging


@click.command()
@JSON
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Look at a deployment from here and say what is wrong with it: then the status is 1.

    It reads the same DRAGOMAN_* environment as the components, looks at whatever that names, and skips the rest:
    settings, RabbitMQ with its queues and users, PostgreSQL with its schemas and roles, Redis, clocks, signing keys and
    the mail server. It changes nothing and sends nobody anything.
    """
    configure_logging("error")
    examining = import_module("cli.checks.examine")  # only now: see there
    findings: list[Finding] = asyncio.run(examining.examine(environment(), SystemClock(), SystemEntropy()))
    count = {state: sum(finding.state == state for finding in findings) for state in ("problem", "warning")}
    document = {
        "findings": [asdict(finding) for finding in findings],
        "problems": count["problem"],
        "warnings": count["warning"],
    }
    summary = f"problems: {count['problem']}, warnings: {count['warning']}"
    show(document, [*_lines(findings), summary], as_json=as_json)
    if count["problem"]:
        ctx.exit(1)


def _lines(findings: Sequence[Finding]) -> list[str]:
    rows = [("STATE", "AREA", "CHECKED", "FOUND")]
    rows += [(finding.state, finding.area, finding.checked, finding.found) for finding in findings]
    head, *lines = table(rows)
    shown = [head]
    for finding, line in zip(findings, lines, strict=True):
        shown.append(line)
        if finding.hint:
            shown.append(f"    -> {finding.hint}")
    return shown
