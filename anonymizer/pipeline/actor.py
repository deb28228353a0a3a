"""The thread behind a camera's core: one mailbox in, deadlines kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import assert_never

from anonymizer.clock import Clock
from anonymizer.lifecycle import Resource
from anonymizer.pipeline.camera import CameraCore
from anonymizer.pipeline.inference import Verdict
from anonymizer.pipeline.mailbox import Mailbox
from anonymizer.pipeline.stage import Pulse, StageThread
from anonymizer.ports import Meter
from anonymizer.types import AuditFinding, Detections, Frame, InferenceFailed, LinkChange, Outcome, Stage

_CAPACITY = 8  # frames that may wait for the core; half a second at 15 fps
_LIMIT_S = 5.0
_IDLE_S = 0.25

Control = Verdict | LinkChange | AuditFinding


class CameraActor(Resource):
    """Feeds a CameraCore in its own thread. Overflow rule: the oldest frame is dropped (queue `actor`)."""

    def __init__(
        self, camera_id: str, core: CameraCore, *, on_crash: Callable[[], None], meter: Meter, clock: Clock
    ) -> None:
        self._camera_id = camera_id
        self._core = core
        self._meter = meter
        self._clock = clock
        self._mailbox: Mailbox[Frame, Control] = Mailbox(_CAPACITY, self._count_drop)
        self._pulse = Pulse(clock, _LIMIT_S)
        self._thread = StageThread(f"blur-{camera_id}", self._run, on_crash=on_crash)

    def start(self) -> None:
        """Start the thread."""
        self._pulse.beat()
        self._thread.start()

    def close(self) -> None:
        """Throw away what waits and stop; idempotent."""
        self._thread.ask_to_stop()
        self._mailbox.close()
        self._thread.close()

    def alive(self) -> bool:
        """True while the heartbeat is fresh."""
        return self._pulse.alive()

    def on_frame(self, frame: Frame) -> None:
        """From the capture thread."""
        self._mailbox.put(frame)
        self._meter.queue_depth(self._camera_id, "actor", self._mailbox.depth())

    def on_control(self, message: Control) -> None:
        """From the inference, capture and audit threads; never dropped."""
        self._mailbox.put_control(message)

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._pulse.beat()
            match message := self._mailbox.get(self._patience_s()):
                case None:
                    pass
                case Frame():
                    self._core.on_frame(message)
                case Detections():
                    self._core.on_detections(message)
                case InferenceFailed():
                    self._core.on_failure(message)
                case LinkChange():
                    self._core.on_link(message)
                case AuditFinding():
                    self._core.on_finding(message)
                case _:  # pragma: no cover
                    assert_never(message)
            if not stop.is_set():
                self._core.on_time()

    def _patience_s(self) -> float:
        left_s = (self._core.next_deadline_ns() - self._clock.now_ns()) / 1e9
        return min(max(left_s, 0.0), _IDLE_S)

    def _count_drop(self, _frame: Frame) -> None:
        self._meter.dropped(self._camera_id, "actor")
        self._meter.frame(self._camera_id, Stage.REDACT, Outcome.DROPPED)
