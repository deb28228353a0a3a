"""Ctrl-C during a run: the step that is being computed ends, its result is saved, and the command ends."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

INTERRUPTED = 130  # exit status of a command that Ctrl-C ended


class StopRequest:
    """Takes the first Ctrl-C as a wish, asked for between steps; a second one ends the command at once."""

    def __init__(self) -> None:
        self.is_made = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.is_made = True
        signal.signal(signal.SIGINT, self._before)


def ignore_interrupts(_worker: int) -> None:
    """For processes that make canvases: a terminal's Ctrl-C reaches them too, and the run ends them itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
