"""The clock that components are given, so that tests need not wait."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The source of time of all components."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds."""
        ...

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()


class FakeClock:
    """A clock that tests move by hand; wall time starts at 2026-01-01."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Monotonic nanoseconds."""
        return self._now_ns

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return 1_767_225_600_000_000_000 + self._now_ns

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        self._now_ns += round(seconds * 1e9)
