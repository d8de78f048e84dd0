"""The real broker behind proxies."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.bus.transports import Rabbit


@pytest.fixture
async def rabbit(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    """Makes buses on the real broker, each with its own user and proxy."""
    async with Rabbit(rabbitmq_url) as made:
        yield made
