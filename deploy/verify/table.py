"""What a verification prints: one row for each thing that was tried."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import SubprocessError
from typing import Literal

from deploy.servers import ServerError

State = Literal["ran", "rendered", "failed"]
"""`rendered` is what could be looked at only: a chart without a cluster."""


class VerifyError(Exception):
    """Something is not as it should be; the message says what, and is a row of the table."""


@dataclass
class Row:
    """One thing that was tried, what came of it, and how long it took."""

    what: str
    state: State
    detail: str = ""
    seconds: float = 0.0


class Table:
    """Collects the rows; `say` is told each as soon as it is there."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.rows: list[Row] = []
        self._say = say

    @property
    def failed(self) -> bool:
        """Whether anything did, or nothing was tried at all."""
        return not self.rows or any(row.state == "failed" for row in self.rows)

    @contextmanager
    def step(self, what: str, state: State = "ran") -> Iterator[Row]:
        """Adds a row when the block ends: with `state`, or as failed with the reason, and what follows goes on.

        The block may write its findings into the row's `detail`. Errors that nobody has thought of pass, after the row.
        """
        row = Row(what, state)
        began = time.monotonic()
        try:
            yield row
        except (VerifyError, ServerError, SubprocessError, OSError, TimeoutError) as error:
            row.state, row.detail = "failed", str(error) or type(error).__name__
        except BaseException as error:
            row.state, row.detail = "failed", type(error).__name__
            raise
        finally:
            row.seconds = time.monotonic() - began
            self.rows.append(row)
            self._say(f"{row.state:8}  {row.what}  ({row.seconds:.1f} s)")
            if row.state == "failed":
                self._say(row.detail)

    def lines(self) -> list[str]:
        """All rows in columns; of a detail only its first line."""
        widest = max((len(row.what) for row in self.rows), default=0)
        return [
            f"{row.state:8}  {row.what:{widest}}  {row.seconds:6.1f} s  {row.detail.partition(chr(10))[0]}".rstrip()
            for row in self.rows
        ]
