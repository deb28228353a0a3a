"""Tells how long to wait before the next attempt: exponential, capped, jittered."""

from __future__ import annotations

import random


class Backoff:
    """Delays of base, 2x base, 4x base ... up to the cap, each scaled by a random factor of 0.5 to 1."""

    def __init__(self, base_s: float, cap_s: float, rng: random.Random) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._rng = rng
        self._attempt = 0

    def next_s(self) -> float:
        """Seconds to wait before the next attempt."""
        ceiling_s = min(self._cap_s, self._base_s * 2.0 ** min(self._attempt, 32))
        self._attempt += 1
        return ceiling_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start from the base again, after a success that lasted."""
        self._attempt = 0
