"""What a camera is doing right now, gathered from its threads for the page, /readyz and the watchdog."""

from __future__ import annotations

import statistics
import threading
from collections import deque

from anonymizer.clock import Clock
from anonymizer.types import CameraStatus, LinkState, Reason, Size

_WINDOW_NS = 3_000_000_000
_BOUND = 1000


class StatusCell:
    """Written by the threads of one camera, read by anybody; survives restarts of the camera's stages."""

    def __init__(self, camera_id: str, clock: Clock) -> None:
        self._camera_id = camera_id
        self._clock = clock
        self._lock = threading.Lock()
        self._link = LinkState.CONNECTING
        self._detail = ""
        self._size: Size | None = None
        self._in_ns: deque[int] = deque(maxlen=_BOUND)
        self._out_ns: deque[int] = deque(maxlen=_BOUND)
        self._latency_ms: deque[float] = deque(maxlen=60)
        self._whole_frame: Reason | None = None
        self._published_ns: int | None = None
        self._tracks = 0
        self._restarts = 0
        self._load_level = 0

    def link(self, state: LinkState, detail: str) -> None:
        """The connection changed."""
        with self._lock:
            self._link, self._detail = state, detail

    def frame_in(self) -> None:
        """A frame came out of the decoder."""
        with self._lock:
            self._in_ns.append(self._clock.now_ns())

    def redacted(self, tracks: int) -> None:
        """A frame was redacted with so many tracks alive."""
        with self._lock:
            self._tracks = tracks

    def published(self, size: Size, captured_ns: int, whole_frame: Reason | None) -> None:
        """A frame was handed to the outputs."""
        now_ns = self._clock.now_ns()
        with self._lock:
            self._size, self._whole_frame, self._published_ns = size, whole_frame, now_ns
            self._out_ns.append(now_ns)
            if whole_frame is not Reason.NO_SIGNAL:
                self._latency_ms.append((now_ns - captured_ns) / 1e6)

    def loaded(self, level: int) -> None:
        """The governor went to this level."""
        with self._lock:
            self._load_level = level

    def restarted(self) -> None:
        """The camera's stages were started anew after a crash."""
        with self._lock:
            self._restarts += 1

    def read(self) -> CameraStatus:
        """Everything as of now."""
        now_ns = self._clock.now_ns()
        with self._lock:
            return CameraStatus(
                camera_id=self._camera_id,
                link=self._link,
                detail=self._detail,
                size=self._size,
                fps_in=_rate(self._in_ns, now_ns),
                fps_out=_rate(self._out_ns, now_ns),
                latency_ms=statistics.median(self._latency_ms) if self._latency_ms else None,
                whole_frame=self._whole_frame,
                published_ns=self._published_ns,
                tracks=self._tracks,
                restarts=self._restarts,
                load_level=self._load_level,
            )


def _rate(times_ns: deque[int], now_ns: int) -> float:
    """Events a second over the last three seconds."""
    return sum(1 for at_ns in times_ns if now_ns - at_ns <= _WINDOW_NS) / (_WINDOW_NS / 1e9)
