"""Fakes for tests, of the same shape as what the process gives a component."""

from shared.testing.fakes import FakeClock, SeededEntropy
from shared.testing.kit import MemoryKit

__all__ = ["FakeClock", "MemoryKit", "SeededEntropy"]
