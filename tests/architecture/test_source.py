"""Rules about the source that no linter knows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("cli", "deploy", "gateway", "services", "shared", "tests")
MOST_LINES = 400
GENERATED = {".git", ".venv", ".run", ".ci-cache", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis"}
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("deb", "debian", "org"),
    )
)


def _python() -> Iterator[Path]:
    for folder in SOURCES:
        yield from (ROOT / folder).rglob("*.py")


def _files(folder: Path = ROOT) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in GENERATED or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path


def test_imports_keep_to_the_layers() -> None:
    """Services know each other only by their contracts, and nothing below knows what is above."""
    script = Path(sys.executable).with_name("lint-imports")
    command = [str(script), "--no-cache", "--no-logo", "--config", "tests/architecture/importlinter.toml"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_contracts_import_only_the_shape_of_messages_and_each_other() -> None:
    """The contracts can be read, and installed by another team, without the rest."""
    for path in (ROOT / "shared" / "contracts").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(SOURCES):
                known = (node.module or "").startswith(("shared.bus.messages", "shared.contracts."))
                assert known, f"{path.name} imports {node.module}"


def test_no_file_is_longer_than_a_reader_has_patience() -> None:
    """A file that does one thing stays short."""
    long = [path for path in _python() if len(path.read_text().splitlines()) > MOST_LINES]
    assert not long


def test_every_test_says_what_it_shows() -> None:
    """One sentence in the user's terms, so that a red test explains itself."""
    silent = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not silent


def test_no_file_names_a_registry() -> None:
    """Where packages and images come from is the installer's choice."""
    named = []
    for path in _files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        named += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRIES if host in text]
    assert not named
