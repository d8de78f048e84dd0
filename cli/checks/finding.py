"""What a check has found, in words for an operator."""

from dataclasses import dataclass, field
from typing import Literal

State = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; `hint` says what to do about a warning or a problem."""

    area: str
    checked: str
    state: State
    found: str
    hint: str = ""


@dataclass
class Findings:
    """Collects what was found in one area."""

    area: str
    every: list[Finding] = field(default_factory=list)

    def ok(self, checked: str, found: str) -> None:
        """As it should be."""
        self.every.append(Finding(self.area, checked, "ok", found))

    def warn(self, checked: str, found: str, hint: str) -> None:
        """It works, and somebody should look at it."""
        self.every.append(Finding(self.area, checked, "warning", found, hint))

    def problem(self, checked: str, found: str, hint: str) -> None:
        """Something does not work, or will not."""
        self.every.append(Finding(self.area, checked, "problem", found, hint))

    def skip(self, checked: str, found: str) -> None:
        """It could not be looked at from here."""
        self.every.append(Finding(self.area, checked, "skipped", found))
