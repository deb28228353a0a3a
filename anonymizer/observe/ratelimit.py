"""Keeps a repeated warning from flooding the log: one of a kind an interval, the rest counted."""

from __future__ import annotations

import threading

from anonymizer.clock import Clock


class RateLimiter:
    """Lets the first event of a kind through, then one an interval; safe from any thread."""

    def __init__(self, interval_s: float, clock: Clock, *, max_keys: int = 256) -> None:
        """Remembers at most `max_keys` kinds; the one let through longest ago is forgotten first."""
        self._interval_ns = round(interval_s * 1e9)
        self._clock = clock
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[int, int]] = {}  # kind -> (let through at, held back since)

    def admit(self, key: str) -> int | None:
        """None: stay quiet. A number: speak; so many of this kind were held back since the last one spoke."""
        now_ns = self._clock.now_ns()
        with self._lock:
            spoke_ns, held = self._kinds.get(key, (None, 0))
            if spoke_ns is not None and now_ns - spoke_ns < self._interval_ns:
                self._kinds[key] = (spoke_ns, held + 1)
                return None
            self._kinds.pop(key, None)
            if len(self._kinds) >= self._max_keys:
                del self._kinds[next(iter(self._kinds))]
            self._kinds[key] = (now_ns, 0)
            return held
