"""The log of this process, put back after a command that has set it up for itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from shared.telemetry import configure_logging


@contextmanager
def quiet() -> Iterator[None]:
    """Log errors only, as a command does; afterwards all is as it was."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logging("error")
    try:
        yield
    finally:
        structlog.configure(**before)
        root.handlers = handlers
        root.setLevel(level)
