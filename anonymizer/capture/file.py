"""Films as cameras: played in real time or as fast as possible, once or in a loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from pydantic import SecretStr

from anonymizer.capture.input import Input
from anonymizer.clock import Clock
from anonymizer.errors import SourceEnded
from anonymizer.lifecycle import Resource
from anonymizer.ports import Source
from anonymizer.types import Frame

_PREFIX: Final = "file://"
_BEHIND_NS: Final = 1_000_000_000  # a reader that lags more does not have to catch up
_HOLE_NS: Final = 10_000_000_000  # a longer pause in a film is skipped, or the supervisor would call the source stuck
_FIRST_STEP_NS: Final = 40_000_000  # between the rounds of a film of one picture, whose frame interval is unknown


def is_file(url: str) -> bool:
    """Whether the URL names a film."""
    return url.lower().startswith(_PREFIX)


def file_input(url: str) -> Input:
    """How to open `file:///path%20name.mp4`."""
    path = unquote(url[len(_PREFIX) :])
    # If the file is a playlist, it must not make us open network addresses.
    return Input(where=path, address=SecretStr(path), options={"protocol_whitelist": "file"}, live=False)


class FileSource(Resource):
    """A `ports.Source` that plays a film, in rounds if it loops.

    `open_round(epoch, first_seq)` makes a source of one round, not started. Timestamps grow from round to round. Each
    round has an epoch of its own, because the picture jumps. With `paced`, frames come when their time has come.
    """

    def __init__(
        self,
        open_round: Callable[[int, int], Source],
        *,
        epoch: int,
        first_seq: int,
        loop: bool,
        paced: bool,
        clock: Clock,
    ) -> None:
        self._open_round = open_round
        self._loop = loop
        self._paced = paced
        self._clock = clock
        self._round = open_round(epoch, first_seq)
        self._last: Frame | None = None
        self._interval_ns = _FIRST_STEP_NS
        self._offset_ns: int | None = 0  # from the film's time to ours; None: the first frame of the round sets it
        self._anchor_ns: int | None = None  # clock minus timestamp; None: nothing was played yet
        self._closed = threading.Event()

    def start(self) -> None:
        """Open the film; raises SourceError."""
        self._round.start()

    def read(self) -> Frame:
        """The next picture, in its time if paced; raises SourceError, and SourceEnded at the end if not looping."""
        frame = self._continued(self._read_round())
        if self._paced:
            self._wait_for(frame.pts_ns)
            frame = replace(frame, captured_ns=self._clock.now_ns(), wall_ns=self._clock.wall_ns())
        self._last = frame
        return frame

    def close(self) -> None:
        """Close the film and end a wait in `read`; idempotent."""
        self._closed.set()
        self._round.close()

    @property
    def codec(self) -> str:
        """The film's codec; empty before `start`."""
        return self._round.codec

    def _read_round(self) -> Frame:
        try:
            return self._round.read()
        except SourceEnded:
            if not self._loop or self._last is None or self._closed.is_set():
                raise
        self._next_round(self._last)
        return self._round.read()

    def _next_round(self, last: Frame) -> None:
        self._round.close()
        self._round = self._open_round(last.epoch + 1, last.seq + 1)
        self._offset_ns = None
        if self._closed.is_set():
            self._round.close()
        self._round.start()

    def _continued(self, frame: Frame) -> Frame:
        """The frame with its timestamp moved behind those of earlier rounds."""
        if self._last is not None:
            if self._offset_ns is None:
                self._offset_ns = self._last.pts_ns + self._interval_ns - frame.pts_ns
            self._interval_ns = frame.pts_ns + self._offset_ns - self._last.pts_ns
        return replace(frame, pts_ns=frame.pts_ns + (self._offset_ns or 0))

    def _wait_for(self, pts_ns: int) -> None:
        now_ns = self._clock.now_ns()
        if self._anchor_ns is None or not -_BEHIND_NS <= self._anchor_ns + pts_ns - now_ns <= _HOLE_NS:
            self._anchor_ns = now_ns - pts_ns
        self._closed.wait(max(0.0, (self._anchor_ns + pts_ns - now_ns) / 1e9))
