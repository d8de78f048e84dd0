"""What the command prints: text for people, or one JSON document with `--json`."""

import json
from collections.abc import Sequence
from typing import Any

import click


def show(document: Any, lines: Sequence[str], *, as_json: bool) -> None:
    """Print `document` as JSON, or `lines` as they are."""
    click.echo(json.dumps(document, indent=2, sort_keys=True) if as_json else "\n".join(lines))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns as wide as their widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
