"""One inference thread for an accelerator: serves all cameras in turn, the newest frame of each first."""

from __future__ import annotations

import logging
import random
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from anonymizer.backoff import Backoff
from anonymizer.clock import Clock
from anonymizer.errors import InvalidOutputError
from anonymizer.lifecycle import Resource
from anonymizer.pipeline.stage import Pulse, StageThread
from anonymizer.ports import Detector, Meter
from anonymizer.types import Detections, Frame, InferenceFailed, Outcome, Reason, Stage, Target

log = logging.getLogger(__name__)

Verdict = Detections | InferenceFailed
Reply = Callable[[Verdict], None]

_LIMIT_S = 20.0  # longest that loading a model or one inference may take before the watchdog lets go
_IDLE_S = 0.5


@dataclass(frozen=True, slots=True)
class _Request:
    """A frame and who asked: its answer never reaches a camera that was started anew under the same id."""

    frame: Frame
    reply: Reply


class InferenceStage(Resource):
    """Owns the detector and its thread.

    Overflow rule: each camera has one slot, a newer frame replaces the one that waits (counted as dropped, queue
    `inference`; the camera knows from the sequence number of the next answer). Every frame taken from a slot is
    answered exactly once, with detections or with the failure. A detector that raises is thrown away and made anew
    after a growing pause, in which every frame is answered with a failure at once. While models load, frames wait in
    their slots; the camera's own deadline masks them.
    """

    def __init__(self, make_detector: Callable[[], Detector], meter: Meter, clock: Clock) -> None:
        self._make_detector = make_detector
        self._meter = meter
        self._clock = clock
        self._slots: OrderedDict[str, _Request] = OrderedDict()
        self._replies: dict[str, Reply] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._reload = False
        self._loaded = threading.Event()
        self._backoff = Backoff(0.5, 15.0, random.Random())  # noqa: S311 - jitter, not a secret
        self._pulse = Pulse(clock, _LIMIT_S)
        self._thread = StageThread("inference", self._run, on_crash=self._loaded.clear)

    def start(self) -> None:
        """Start the thread; models load there."""
        self._pulse.beat()
        self._thread.start()

    def close(self) -> None:
        """Stop; idempotent."""
        with self._changed:
            self._closed = True
            self._slots.clear()
            self._changed.notify_all()
        self._thread.close()

    def ready(self) -> bool:
        """True while a detector is loaded."""
        return self._loaded.is_set()

    def healthy(self) -> bool:
        """True while the thread lives and its heartbeat is fresh."""
        return not self._thread.crashed and self._pulse.alive()

    def attach(self, camera_id: str, reply: Reply) -> None:
        """Tell where the answers for a camera go; `reply` is called in the inference thread and must not block."""
        with self._changed:
            self._replies[camera_id] = reply

    def detach(self, camera_id: str) -> None:
        """Forget a camera and the frame that waits for it."""
        with self._changed:
            self._replies.pop(camera_id, None)
            self._slots.pop(camera_id, None)

    def submit(self, frame: Frame) -> None:
        """Ask for detections in this frame; never blocks."""
        with self._changed:
            reply = self._replies.get(frame.camera_id)
            if reply is None:
                return
            replaced = frame.camera_id in self._slots
            self._slots[frame.camera_id] = _Request(frame, reply)  # a camera keeps its place in the turn
            self._changed.notify()
        if replaced:
            self._meter.dropped(frame.camera_id, "inference")

    def replace_detector(self, make_detector: Callable[[], Detector]) -> None:
        """Load other models; until they run, frames wait in their slots."""
        with self._changed:
            self._make_detector = make_detector
            self._reload = True
            self._changed.notify()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            detector = self._load(stop)
            if detector is None:
                continue
            try:
                self._loaded.set()
                self._serve(detector, stop)
            finally:
                self._loaded.clear()
                detector.close()

    def _load(self, stop: threading.Event) -> Detector | None:
        self._pulse.beat()
        with self._changed:
            make, self._reload = self._make_detector, False
        detector = None
        try:
            detector = make()
            detector.start()
        except Exception as error:  # noqa: BLE001 - stage boundary: without models every frame is masked whole
            log.error("models could not be loaded: %s", error)
            if detector is not None:
                detector.close()
            self._refuse_for(self._backoff.next_s(), f"models could not be loaded: {error}", stop)
            return None
        return detector

    def _serve(self, detector: Detector, stop: threading.Event) -> None:
        while not stop.is_set():
            self._pulse.beat()
            with self._changed:
                if not self._slots and not self._closed and not self._reload:
                    self._changed.wait(_IDLE_S)
                if self._closed or self._reload:
                    return
                request = self._slots.popitem(last=False)[1] if self._slots else None
            if request is None:
                continue
            try:
                request.reply(self._detect(detector, request.frame))
            except InvalidOutputError as error:
                self._fail(request, Reason.INVALID_OUTPUT, str(error))
            except Exception as error:  # noqa: BLE001 - stage boundary: fails closed, counted, and a fresh detector
                log.warning("inference failed: %s: %s", type(error).__name__, error)
                self._fail(request, Reason.INFERENCE_FAILED, f"{type(error).__name__}: {error}")
                self._refuse_for(self._backoff.next_s(), "the detector is being restarted", stop)
                return
            else:
                self._backoff.reset()

    def _detect(self, detector: Detector, frame: Frame) -> Detections:
        began_ns = self._clock.now_ns()
        found = detector.detect(frame)
        if found.seq != frame.seq or found.camera_id != frame.camera_id:
            raise InvalidOutputError(f"the detector answered for frame {found.seq} when asked for {frame.seq}")
        self._meter.stage_seconds(frame.camera_id, Stage.DETECT, (self._clock.now_ns() - began_ns) / 1e9)
        self._meter.frame(frame.camera_id, Stage.DETECT, Outcome.OK)
        for target in Target:
            self._meter.detections(frame.camera_id, target, int((found.class_ids == target).sum()))
        return found

    def _refuse_for(self, pause_s: float, why: str, stop: threading.Event) -> None:
        """Answer every frame with a failure for a while, or until other models are asked for."""
        until_ns = self._clock.now_ns() + round(pause_s * 1e9)
        while not stop.is_set() and (left_ns := until_ns - self._clock.now_ns()) > 0:
            self._pulse.beat()
            with self._changed:
                if not self._slots and not self._closed and not self._reload:
                    self._changed.wait(min(left_ns / 1e9, _IDLE_S))
                if self._closed or self._reload:
                    return
                requests = list(self._slots.values())
                self._slots.clear()
            for request in requests:
                self._fail(request, Reason.INFERENCE_FAILED, why)

    def _fail(self, request: _Request, reason: Reason, detail: str) -> None:
        frame = request.frame
        self._meter.frame(frame.camera_id, Stage.DETECT, Outcome.FAILED)
        request.reply(InferenceFailed(frame.camera_id, frame.seq, frame.epoch, reason, detail))
