"""The transport under test."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.bus.transports import Memory, Rabbit, Transport


@pytest.fixture(params=["memory", "rabbitmq"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """Each transport in turn: what holds for one holds for the other."""
    made = Memory() if request.param == "memory" else Rabbit(request.getfixturevalue("rabbitmq_url"))
    async with made:
        yield made
