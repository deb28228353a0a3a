"""The capture thread of one camera: connect, read, and after any failure wait and connect again, forever."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from anonymizer.backoff import Backoff
from anonymizer.clock import Clock
from anonymizer.errors import LoginRefusedError, SourceEnded, SourceError
from anonymizer.lifecycle import Resource
from anonymizer.pipeline.stage import Pulse, StageThread
from anonymizer.pipeline.status import StatusCell
from anonymizer.ports import Meter, Source
from anonymizer.types import Frame, LinkChange, LinkState, Outcome, Stage

log = logging.getLogger(__name__)

OpenSource = Callable[[int, int], Source]  # first epoch, first sequence number -> a source that is not started

EPOCHS_A_CONNECTION = 1000  # a source counts mid-stream changes within its own thousand
_STEADY_NS = 10_000_000_000  # a connection that lasted this long starts the back-off from its base again


class CaptureStage(Resource):
    """Owns the connection and its thread; frames and link changes go to the callbacks, which must not block."""

    def __init__(
        self,
        camera_id: str,
        open_source: OpenSource,
        *,
        on_frame: Callable[[Frame], None],
        on_link: Callable[[LinkChange], None],
        on_crash: Callable[[], None],
        backoff: Backoff,
        login_backoff: Backoff,
        meter: Meter,
        clock: Clock,
        status: StatusCell,
        silence_limit_s: float,
        reconnects: bool,
        first_connection: int = 0,
    ) -> None:
        self._camera_id = camera_id
        self._open_source = open_source
        self._on_frame = on_frame
        self._on_link = on_link
        self._backoff = backoff
        self._login_backoff = login_backoff  # asked often with a wrong password, cameras lock the account
        self._meter = meter
        self._clock = clock
        self._status = status
        self._reconnects = reconnects
        self._next_seq = 0
        self._connection = first_connection
        self._source: Source | None = None
        self._pulse = Pulse(clock, silence_limit_s)
        self._thread = StageThread(f"capture-{camera_id}", self._run, on_crash=on_crash)

    def start(self) -> None:
        """Start the thread."""
        self._pulse.beat()
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let no further frame in, without waiting; from any thread."""
        self._thread.ask_to_stop()

    def close(self) -> None:
        """Interrupt the source and wait for the thread; idempotent."""
        self._thread.ask_to_stop()
        source = self._source
        if source is not None:
            source.close()
        self._thread.close()

    def alive(self) -> bool:
        """False when the thread has neither read nor failed for longer than its time-outs allow."""
        return self._pulse.alive()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            backoff = self._backoff
            try:
                self._stream(stop)
            except SourceEnded as ended:
                if not self._reconnects:
                    self._say(LinkState.ENDED, str(ended))
                    self._rest(stop, None)
                    return
                problem = str(ended)
            except LoginRefusedError as error:
                problem, backoff = (
                    f"{error}; it is asked seldom, or it may lock the account: reload when corrected",
                    self._login_backoff,
                )
            except SourceError as error:
                problem = str(error)
            if stop.is_set():
                return
            pause_s = backoff.next_s()
            log.warning("camera %s: %s; next attempt in %.1f s", self._camera_id, problem, pause_s)
            self._say(LinkState.WAITING, problem)
            self._rest(stop, pause_s)
            self._meter.reconnect(self._camera_id)

    def _stream(self, stop: threading.Event) -> None:
        """One connection, from its start until it fails; raises SourceError."""
        self._say(LinkState.CONNECTING, "")
        source = self._open_source(self._connection * EPOCHS_A_CONNECTION, self._next_seq)
        self._connection += 1
        self._source = source
        try:
            if stop.is_set():  # a `close` that came before `_source` was set does not interrupt this one
                return
            self._pulse.beat()
            source.start()
            began_ns = self._clock.now_ns()
            streaming = False
            while not stop.is_set():
                self._pulse.beat()
                frame = source.read()
                self._next_seq = frame.seq + 1
                if not streaming:
                    streaming = True
                    log.info("camera %s: streaming %s", self._camera_id, frame.size)
                    self._say(LinkState.STREAMING, "")
                if self._clock.now_ns() - began_ns > _STEADY_NS:
                    self._backoff.reset()
                    self._login_backoff.reset()
                self._meter.frame(self._camera_id, Stage.CAPTURE, Outcome.OK)
                self._status.frame_in()
                self._on_frame(frame)
        finally:
            source.close()
            self._source = None

    def _rest(self, stop: threading.Event, pause_s: float | None) -> None:
        """Wait, with a beating pulse."""
        until_ns = None if pause_s is None else self._clock.now_ns() + round(pause_s * 1e9)
        while not stop.is_set() and (until_ns is None or self._clock.now_ns() < until_ns):
            self._pulse.beat()
            left_s = 1.0 if until_ns is None else (until_ns - self._clock.now_ns()) / 1e9
            stop.wait(min(max(left_s, 0.001), 1.0))

    def _say(self, state: LinkState, detail: str) -> None:
        self._on_link(LinkChange(self._camera_id, state, self._connection * EPOCHS_A_CONNECTION, detail))
