"""The platform that all cases of a file are tried on, and how many there are."""

from collections.abc import Iterator

import pytest

from tests.dialects.running import Servers
from tests.fuzz.budget import Budget
from tests.fuzz.running import RunningPlatform, running_platform
from tests.support.urls import ServerUrls


def pytest_addoption(parser: pytest.Parser) -> None:
    """The number of cases, which `make fuzz` gives."""
    parser.addoption("--cases", type=int, default=None, help="how many cases to try; else a few, the same each time")


@pytest.fixture(scope="session")
def budget(request: pytest.FixtureRequest) -> Iterator[Budget]:
    """How much there is to do; what was done is printed at the end of a long run."""
    chosen = Budget(request.config.getoption("--cases", default=None))
    yield chosen
    if chosen.cases is not None:
        chosen.report()


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, migrated_url: str, server_urls: ServerUrls, worker: str
) -> Iterator[RunningPlatform]:
    """Everything runs, with the file's `SETTINGS`; nobody is limited."""
    corner = Servers(migrated_url, server_urls.redis, f"test:{worker}:fuzz:")
    with running_platform(corner, **request.module.SETTINGS) as opened:
        yield opened
