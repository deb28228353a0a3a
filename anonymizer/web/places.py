"""A limited number of places for clients that watch live pictures, counted for each camera."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from anonymizer.ports import Meter

OUTPUT = "mjpeg"  # label in the metrics


class StreamPlaces:
    """Hands out at most `most` places at a time; safe from any thread."""

    def __init__(self, most: int, meter: Meter) -> None:
        self._most = most
        self._meter = meter
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def take(self, camera_id: str) -> Iterator[bool]:
        """Hold a place while the context lasts; yields False if all are taken."""
        with self._lock:
            free = self._taken.total() < self._most
            if free:
                self._count(camera_id, 1)
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    self._count(camera_id, -1)

    def _count(self, camera_id: str, change: int) -> None:
        self._taken[camera_id] += change
        self._meter.clients(camera_id, OUTPUT, self._taken[camera_id])
        if not self._taken[camera_id]:
            del self._taken[camera_id]
