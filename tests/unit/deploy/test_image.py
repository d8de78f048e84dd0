"""What goes into the image, as far as it can be told without building one."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
LOCK = (ROOT / "requirements-dev.lock").read_text()


def taken(file: str) -> set[str]:
    """The packages that the Dockerfile takes out of the development lock into a lock of this name."""
    found = re.search(rf"wanted = /\^\(?([a-z|]+)\)?==/ }} wanted' requirements-dev\.lock >{file}", DOCKERFILE)
    assert found is not None
    return set(found[1].split("|"))


@pytest.mark.parametrize("file", ["build.lock", "inbox.lock"])
def test_what_is_taken_from_the_development_lock_is_in_it(file: str) -> None:
    """A package that is called otherwise would silently be missing."""
    assert all(re.search(rf"^{name}==", LOCK, re.MULTILINE) for name in taken(file))


def test_the_inbox_has_all_that_its_library_needs() -> None:
    """What the SMTP server needs is in the platform's lock, or taken from the development lock with it."""
    platform = (ROOT / "requirements-otel.lock").read_text()
    for requirement in requires("aiosmtpd") or []:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert name is not None
        assert name[0] in taken("inbox.lock") or re.search(rf"^{name[0]}==", platform, re.MULTILINE)


def test_the_base_can_be_chosen() -> None:
    """Every stage stands on the one base that is an argument, and nothing is fetched to read the file."""
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", DOCKERFILE, re.MULTILINE)
    known = {"${PYTHON_IMAGE}"}
    for base, name in stages:
        assert base in known
        known.add(name)
    assert "ARG PYTHON_IMAGE=python:3.11-slim" in DOCKERFILE
    assert "# syntax=" not in DOCKERFILE
    assert stages[-1][1] == "dragoman"
