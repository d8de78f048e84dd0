"""Commands that run in the process of the tests."""

from collections.abc import Iterator

import pytest

from tests.support.quiet import quiet


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A command sets up the log of its process; the next test has its own again."""
    with quiet():
        yield
