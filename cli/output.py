"""What the command reads from files, and prints: text for people, or one JSON document with `--json`."""

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import click


def read_line(file: BinaryIO) -> str:
    """What is in `file` without the line's end. Raises `click.ClickException` unless it is UTF-8."""
    try:
        return file.read().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.ClickException(f"{file.name} is not UTF-8 text") from None


def show(document: Any, lines: Sequence[str], *, as_json: bool) -> None:
    """Print `document` as JSON, or `lines` as they are."""
    click.echo(json.dumps(document, indent=2, sort_keys=True) if as_json else "\n".join(lines))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns as wide as their widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
