"""What travels with a request."""

import asyncio

import pytest

from shared import context


async def test_outside_of_a_request_there_is_neither_id_nor_deadline() -> None:
    """Background work has no caller to run out on."""
    assert context.request_id() == ""
    assert context.remaining() is None


async def test_inside_a_request_its_id_and_its_time_are_known() -> None:
    """The time left shrinks as it passes, and an inner request ends with its block."""
    with context.request("outer", 10):
        with context.request("inner", 0.5):
            assert context.request_id() == "inner"
            assert context.remaining() == pytest.approx(0.5, abs=0.1)
        assert context.request_id() == "outer"
        assert context.remaining() == pytest.approx(10, abs=0.1)
    assert context.request_id() == ""


async def test_requests_side_by_side_do_not_mix() -> None:
    """Each task sees its own request."""

    async def work(name: str) -> str:
        with context.request(name, 1):
            await asyncio.sleep(0)
            return context.request_id()

    assert await work("alone") == "alone"
    assert list(await asyncio.gather(work("a"), work("b"))) == ["a", "b"]
