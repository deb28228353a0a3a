"""The ring of frames that wait for a verdict: bounded in number and bytes; what falls out is never released."""

from __future__ import annotations

from collections import deque

from anonymizer.types import Frame


def frame_bytes(frame: Frame) -> int:
    """Memory that a frame keeps busy, in bytes."""
    return frame.planes.y.nbytes + frame.planes.u.nbytes + frame.planes.v.nbytes


class HoldRing:
    """Frames in order of arrival. Overflow rule: the oldest frames are dropped and handed back for counting."""

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def push(self, frame: Frame) -> tuple[Frame, ...]:
        """Append a frame; returns the frames that had to be dropped."""
        self._frames.append(frame)
        self._bytes += frame_bytes(frame)
        dropped = []
        while len(self._frames) > 1 and (len(self._frames) > self._max_frames or self._bytes > self._max_bytes):
            dropped.append(self.pop())
        return tuple(dropped)

    def head(self) -> Frame | None:
        """Oldest frame, left in place."""
        return self._frames[0] if self._frames else None

    def pop(self) -> Frame:
        """Oldest frame, taken out; raises IndexError when empty."""
        frame = self._frames.popleft()
        self._bytes -= frame_bytes(frame)
        return frame
