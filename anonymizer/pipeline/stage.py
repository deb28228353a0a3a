"""A thread with one owner: a loop, a stop signal, a heartbeat, and a report when it crashes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from anonymizer.clock import Clock
from anonymizer.lifecycle import Resource

log = logging.getLogger(__name__)


class Pulse:
    """A heartbeat: the loop beats, the supervisor looks how long ago that was."""

    def __init__(self, clock: Clock, limit_s: float) -> None:
        self._clock = clock
        self._limit_ns = round(limit_s * 1e9)
        self._beat_ns = clock.now_ns()

    def beat(self) -> None:
        """Say that the loop is alive."""
        self._beat_ns = self._clock.now_ns()

    def alive(self) -> bool:
        """False when the last beat is older than the limit."""
        return self._clock.now_ns() - self._beat_ns <= self._limit_ns


class StageThread(Resource):
    """Runs `loop(stop)` once in a thread of its own.

    A loop that raises is logged and remembered: `crashed` turns True and `on_crash` is called in that thread, so that
    the owner can take the output away and start anew. A thread that outlives `close` is logged as stuck.
    """

    def __init__(
        self, name: str, loop: Callable[[threading.Event], None], *, on_crash: Callable[[], None], join_s: float = 3.0
    ) -> None:
        self._name = name
        self._loop = loop
        self._on_crash = on_crash
        self._join_s = join_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._crashed = False

    @property
    def crashed(self) -> bool:
        """True once the loop has raised."""
        return self._crashed

    def start(self) -> None:
        """Start the thread."""
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        thread.start()  # raises where no thread is to be had: then there is none to wait for
        self._thread = thread

    def ask_to_stop(self) -> None:
        """Set the stop signal without waiting."""
        self._stop.set()

    def close(self) -> None:
        """Set the stop signal and wait for the thread to end; idempotent."""
        self._stop.set()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(self._join_s)
        if thread.is_alive():
            log.error("thread %s did not stop within %.0f s; it is left behind", self._name, self._join_s)
        self._thread = None

    def _run(self) -> None:
        try:
            self._loop(self._stop)
        except Exception:  # stage boundary: a crash closes the output instead of dying silently
            log.exception("stage %s crashed", self._name)
            self._crashed = True
            self._on_crash()
