"""Writes the table of values in the chart's README from values.yaml and its comments: `python -m deploy.helm_readme`.

A comment stands right above what it explains; `## Title` begins a section. The rest of the README is written by hand.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "helm" / "dragoman"
BEGIN, END = "<!-- values: made by `make docs` -->", "<!-- end of values -->"
_KEY = re.compile(r"( *)([A-Za-z][A-Za-z0-9_]*):(?: |$)")


@dataclass(frozen=True)
class Value:
    """One value that has a comment: its section, its path, its default and what it is for."""

    section: str
    path: tuple[str, ...]
    default: Any
    meaning: str


def values(text: str) -> list[Value]:
    """All values of a values.yaml that have a comment right above them, in their order."""
    data = yaml.safe_load(text)
    found: list[Value] = []
    section, comment, path = "", list[str](), list[tuple[int, str]]()
    for line in text.splitlines():
        key = _KEY.match(line)
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.lstrip().startswith("# "):
            comment.append(line.strip().removeprefix("# "))
            continue
        elif key is not None:
            indent = len(key[1])
            path = [(depth, name) for depth, name in path if depth < indent] + [(indent, key[2])]
            names = tuple(name for _, name in path)
            if comment:
                found.append(Value(section, names, _at(data, names), " ".join(comment)))
        comment = []
    return found


def table(text: str) -> str:
    """The values as Markdown, a table for each section. A value whose parts are explained, too, shows no default."""
    explained = values(text)
    lines: list[str] = []
    section = None
    for value in explained:
        if value.section != section:
            section = value.section
            lines += ["", f"### {section}", "", "| value | default | meaning |", "|---|---|---|"]
        depth = len(value.path)
        has_parts = any(other.path[:depth] == value.path and len(other.path) > depth for other in explained)
        default = "" if has_parts else f"`{json.dumps(value.default)}`"
        cells = (f"`{'.'.join(value.path)}`", default, value.meaning.replace("<", "&lt;"))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def page(readme: str, text: str) -> str:
    """The README with the table of these values in the place of the one that it has."""
    before, _, rest = readme.partition(BEGIN)
    _, mark, after = rest.partition(END)
    assert mark, "the README has no place for the values"
    return f"{before}{BEGIN}\n{table(text)}\n{END}{after}"


def leaves(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of everything in the values that has no further parts."""
    if not isinstance(data, dict) or not data:
        yield path
        return
    for name, part in data.items():
        yield from leaves(part, (*path, name))


def _at(data: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        data = data[name]
    return data


def main() -> None:
    """Write the README anew."""
    readme = CHART / "README.md"
    readme.write_text(page(readme.read_text(), (CHART / "values.yaml").read_text()))


if __name__ == "__main__":
    main()
