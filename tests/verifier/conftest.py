"""A fake issuer and verifiers of its tokens."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from dragoman_verifier import Verifier

from tests.verifier.issuer import Issuer
from tests.verifier.signing import AUDIENCE, Clock

Make = Callable[..., Any]


@pytest.fixture
def clock() -> Clock:
    """Time, moved by the test."""
    return Clock()


@pytest.fixture
async def issuer(clock: Clock) -> AsyncIterator[Issuer]:
    """A running issuer."""
    issuer = Issuer(clock)
    await issuer.server.start_server()
    yield issuer
    await issuer.close()


@pytest.fixture
async def start(issuer: Issuer, clock: Clock) -> AsyncIterator[Make]:
    """Start a verifier of the issuer's tokens, with some settings changed."""
    async with AsyncExitStack() as stack:

        async def start_one(**changed: Any) -> Verifier:
            settings: dict[str, Any] = {"audience": AUDIENCE, "clock": clock, "monotonic": clock} | changed
            return await stack.enter_async_context(Verifier(issuer.url, **settings))

        yield start_one


@pytest.fixture
async def verifier(start: Make) -> Verifier:
    """A running verifier that follows no feed."""
    running: Verifier = await start()
    return running
