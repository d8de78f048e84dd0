"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from cli.settings_page import page

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]


def test_the_settings_page_is_the_codes_own() -> None:
    """Every setting is in docs/settings.md with its default and meaning; `make docs` writes it."""
    assert (ROOT / "docs" / "settings.md").read_text() == page()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link in a document names a file that is there."""
    targets = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def test_every_decision_is_listed() -> None:
    """The list of decisions names each page."""
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text()
    assert [path.name for path in folder.glob("0*.md") if path.name not in listed] == []


def test_documents_name_only_make_targets_that_exist() -> None:
    """Whatever a document tells people to make can be made."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for path in DOCUMENTS for target in re.findall(r"`make ([a-z-]+)`", path.read_text())}
    assert named
    assert named <= targets
