"""Where an audit found somebody bare: masked from then on for a while; clock-free."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

Box = tuple[float, float, float, float]
MOST = 256  # boxes; a model gone wild must not fill the memory


class Alarms:
    """The places of one camera that are masked because a published picture showed a face there; used by one thread."""

    def __init__(self, hold_ns: int) -> None:
        self._hold_ns = hold_ns
        self._places: deque[tuple[int, Box]] = deque(maxlen=MOST)

    def add(self, boxes: Sequence[Box], now_ns: int) -> None:
        """Mask these boxes, in source pixels, for the hold time."""
        self._places.extend((now_ns + self._hold_ns, box) for box in boxes)

    def at(self, now_ns: int) -> tuple[Box, ...]:
        """What is masked now."""
        while self._places and self._places[0][0] < now_ns:
            self._places.popleft()
        return tuple(box for _, box in self._places)

    def reset(self) -> None:
        """Another picture size or connection: the places mean nothing any more."""
        self._places.clear()
