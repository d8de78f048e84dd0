"""What travels with a request through every hop: its id and the moment it stops being worth an answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def request_id() -> str:
    """The id of the request being worked on, or "" outside of one."""
    return _request_id.get()


def remaining() -> float | None:
    """Seconds left before the caller stops waiting, None when nobody set a deadline; negative once it has passed."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - asyncio.get_running_loop().time()


@contextmanager
def request(request_id: str, seconds: float) -> Iterator[None]:
    """Work inside on behalf of one request that must be answered within `seconds`."""
    id_token = _request_id.set(request_id)
    deadline_token = _deadline.set(asyncio.get_running_loop().time() + seconds)
    try:
        yield
    finally:
        _deadline.reset(deadline_token)
        _request_id.reset(id_token)
