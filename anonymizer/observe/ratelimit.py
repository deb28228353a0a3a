"""Keeps repeated warnings from flooding the log: lets one of a kind pass in an interval, and counts the others."""

from __future__ import annotations

import threading

from anonymizer.clock import Clock


class RateLimiter:
    """Admits the first event of a kind, then one in each interval; safe from any thread."""

    def __init__(self, interval_s: float, clock: Clock, *, max_keys: int = 256) -> None:
        """Remembers at most `max_keys` kinds; forgets the one first that was admitted longest ago."""
        self._interval_ns = round(interval_s * 1e9)
        self._clock = clock
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._kinds: dict[
            str, tuple[int, int]
        ] = {}  # kind -> (when it was last admitted, how many were held back since)

    def admit(self, key: str) -> int | None:
        """None: hold the event back. A number: admit it; that many of its kind were held back since the last one."""
        now_ns = self._clock.now_ns()
        with self._lock:
            admitted_ns, held = self._kinds.get(key, (None, 0))
            if admitted_ns is not None and now_ns - admitted_ns < self._interval_ns:
                self._kinds[key] = (admitted_ns, held + 1)
                return None
            self._kinds.pop(key, None)
            if len(self._kinds) >= self._max_keys:
                del self._kinds[next(iter(self._kinds))]
            self._kinds[key] = (now_ns, 0)
            return held
