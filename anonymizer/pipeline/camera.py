"""What happens to each frame of one camera: wait for a verdict, plan, redact, hand on; no thread, no real time."""

from __future__ import annotations

import dataclasses
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anonymizer.clock import Clock
from anonymizer.pipeline.lookahead import HoldRing
from anonymizer.pipeline.status import StatusCell
from anonymizer.pipeline.timeline import Timeline
from anonymizer.policy import Evidence, Policy
from anonymizer.ports import FrameSink, Meter
from anonymizer.redact.redactor import Redactor
from anonymizer.track.tracker import Tracker
from anonymizer.types import (
    Detections,
    Frame,
    InferenceFailed,
    LinkChange,
    LinkState,
    Outcome,
    Reason,
    RedactedFrame,
    RedactionPlan,
    Size,
    Stage,
    Target,
    Track,
)

log = logging.getLogger(__name__)

_RING_FRAMES = 64
_RING_BYTES = 256 * 1024 * 1024
_ASKED_BOUND = 256
_AWAY_PAUSE_NS = 1_000_000_000  # first placeholder after the camera went away
_SILENT_PAUSE_NS = 3_000_000_000  # first placeholder when a connected camera sends nothing
_PLACEHOLDER_PAUSE_NS = 500_000_000  # between placeholders
_PLACEHOLDER_SIZE = Size(1280, 720)


@dataclass(frozen=True, slots=True)
class _Asked:
    """When a frame that went to the detector was taken."""

    pts_ns: int
    captured_ns: int


class CameraCore:
    """Decides the fate of every frame, in order; used by one thread.

    A frame leaves when its own detections are there, when a newer frame's detections show that it was passed over,
    when it has waited `max_wait_ns`, or at once when it is doomed to a whole-frame mask. It never leaves raw: what the
    policy cannot justify is masked whole, and what the redactor cannot redact is dropped and counted.
    """

    def __init__(
        self,
        camera_id: str,
        *,
        submit: Callable[[Frame], None],
        tracker: Tracker,
        policy: Policy,
        redactor: Redactor,
        sinks: Sequence[FrameSink],
        meter: Meter,
        clock: Clock,
        status: StatusCell,
        max_wait_ns: int,
    ) -> None:
        self._camera_id = camera_id
        self._submit = submit
        self._tracker = tracker
        self._policy = policy
        self._redactor = redactor
        self._sinks = tuple(sinks)
        self._meter = meter
        self._clock = clock
        self._status = status
        self._max_wait_ns = max_wait_ns
        self._timeline = Timeline()
        self._ring = HoldRing(_RING_FRAMES, _RING_BYTES)
        self._asked: OrderedDict[int, _Asked] = OrderedDict()
        self._epoch: int | None = None
        self._applied_ns: int | None = None  # capture time of the newest frame whose detections the tracker has
        self._fault: Reason | None = None
        self._link = LinkState.CONNECTING
        self._size = _PLACEHOLDER_SIZE
        self._placeholder_seq = 0
        self._sent_ns = clock.now_ns()

    def on_frame(self, frame: Frame) -> None:
        """A raw frame arrived."""
        if frame.epoch != self._epoch:
            self._begin_epoch(frame.epoch)
        frame = dataclasses.replace(frame, pts_ns=self._timeline.place(frame.epoch, frame.pts_ns, frame.captured_ns))
        for _lost in self._ring.push(frame):
            self._meter.dropped(self._camera_id, "ring")
            self._meter.frame(self._camera_id, Stage.REDACT, Outcome.DROPPED)
        self._meter.queue_depth(self._camera_id, "ring", len(self._ring))
        if not frame.suspect:
            self._asked[frame.seq] = _Asked(frame.pts_ns, frame.captured_ns)
            while len(self._asked) > _ASKED_BOUND:
                self._asked.popitem(last=False)
            self._submit(frame)
        self._release_ready()

    def on_detections(self, found: Detections) -> None:
        """The detector answered."""
        asked = self._asked.get(found.seq)
        if found.epoch != self._epoch or asked is None:
            return
        self._fault = None
        its_frame_is_held = False
        while (head := self._ring.head()) is not None and head.seq <= found.seq:
            frame = self._ring.pop()
            its_frame_is_held = frame.seq == found.seq
            if its_frame_is_held:
                self._release(frame, own=found)
            else:
                self._release(frame, later=found)
        if not its_frame_is_held:  # it has left already; the tracks still profit
            try:
                self._apply(found, asked)
            except Exception:  # stage boundary: fails closed, without tracks and age every frame is masked whole
                log.exception("camera %s: tracker failed on a late answer", self._camera_id)
                self._forget()
        self._release_ready()

    def on_failure(self, failure: InferenceFailed) -> None:
        """The detector failed: until it succeeds again, every frame is masked whole."""
        if self._fault is None:
            log.warning("camera %s: %s; masking whole frames", self._camera_id, failure.detail)
        self._fault = failure.reason
        self._release_ready()

    def on_link(self, change: LinkChange) -> None:
        """The connection to the camera changed."""
        self._link = change.state
        self._status.link(change.state, change.detail)
        self._meter.connected(self._camera_id, up=change.state is LinkState.STREAMING)

    def on_time(self) -> None:
        """Time has passed: release what has waited long enough, keep viewers fed while the camera is away."""
        self._release_ready()
        now_ns = self._clock.now_ns()
        if not len(self._ring) and now_ns - self._sent_ns >= self._silence_ns():
            self._placeholder_seq += 1
            self._hand_on(
                self._redactor.placeholder(
                    camera_id=self._camera_id,
                    seq=-self._placeholder_seq,
                    size=self._size,
                    pts_ns=self._timeline.at(now_ns),
                    captured_ns=now_ns,
                    wall_ns=self._clock.wall_ns(),
                    text=f"{self._camera_id}: no signal",
                )
            )

    def next_deadline_ns(self) -> int:
        """When `on_time` must be called at the latest."""
        head = self._ring.head()
        if head is not None:
            return head.captured_ns + self._max_wait_ns
        return self._sent_ns + self._silence_ns()

    def _silence_ns(self) -> int:
        """How long viewers go without a picture before they get a placeholder."""
        if self._placeholder_seq:
            return _PLACEHOLDER_PAUSE_NS
        return _SILENT_PAUSE_NS if self._link is LinkState.STREAMING else _AWAY_PAUSE_NS

    def _begin_epoch(self, epoch: int) -> None:
        """Another connection or picture size: nothing known so far applies any more."""
        while len(self._ring):
            self._release(self._ring.pop(), fault=Reason.CAMERA_CHANGED)
        self._forget()
        self._asked.clear()
        self._epoch = epoch

    def _forget(self) -> None:
        """Without tracks and without a newest detection, frames are masked whole until the next detection."""
        self._tracker.reset()
        self._applied_ns = None

    def _release_ready(self) -> None:
        now_ns = self._clock.now_ns()
        while (frame := self._ring.head()) is not None:
            doomed = self._fault is not None or frame.suspect
            if not doomed and now_ns - frame.captured_ns < self._max_wait_ns:
                return
            self._release(self._ring.pop(), fault=self._fault)

    def _release(
        self,
        frame: Frame,
        *,
        own: Detections | None = None,
        later: Detections | None = None,
        fault: Reason | None = None,
    ) -> None:
        """Plan, redact, hand on. `later`: detections of the newer frame for which this one was passed over."""
        began_ns = self._clock.now_ns()
        tracks: tuple[Track, ...] = ()
        try:
            if own is not None:
                tracks = self._apply(own, _Asked(frame.pts_ns, frame.captured_ns))
            else:
                tracks = self._tracker.predict(frame.pts_ns)
            plan = self._policy.decide(
                Evidence(
                    seq=frame.seq,
                    size=frame.size,
                    suspect=frame.suspect,
                    detections=own,
                    later=later,
                    tracks=tracks,
                    detection_age_ns=self._age_ns(frame, later),
                    fault=fault,
                )
            )
        except Exception:  # stage boundary: fails closed, an error in tracker or policy masks the whole frame
            log.exception("camera %s: tracker or policy failed; masking the whole frame", self._camera_id)
            self._forget()
            plan = RedactionPlan(frame.seq, whole_frame=Reason.POLICY_FAILED)
        planned_ns = self._clock.now_ns()
        self._meter.stage_seconds(self._camera_id, Stage.TRACK, (planned_ns - began_ns) / 1e9)
        for target in Target:
            self._meter.tracks(self._camera_id, target, sum(track.target is target for track in tracks))
        self._status.redacted(len(tracks))
        try:
            redacted = self._redactor.redact(frame, plan)
        except Exception:  # stage boundary: fails closed, what cannot be redacted is not published
            log.exception("camera %s: frame %d could not be redacted; dropped", self._camera_id, frame.seq)
            self._meter.frame(self._camera_id, Stage.REDACT, Outcome.FAILED)
            return
        self._meter.stage_seconds(self._camera_id, Stage.REDACT, (self._clock.now_ns() - planned_ns) / 1e9)
        self._size = redacted.size
        self._placeholder_seq = 0
        self._hand_on(redacted)

    def _apply(self, found: Detections, asked: _Asked) -> tuple[Track, ...]:
        tracks = self._tracker.update(found, asked.pts_ns)
        self._applied_ns = asked.captured_ns
        return tracks

    def _age_ns(self, frame: Frame, later: Detections | None) -> int | None:
        """Time between this frame and the nearest detection that the plan can use; None before the first one."""
        if self._applied_ns is None:
            return None
        age_ns = frame.captured_ns - self._applied_ns
        if later is not None:
            age_ns = min(age_ns, self._asked[later.seq].captured_ns - frame.captured_ns)
        return max(age_ns, 0)

    def _hand_on(self, redacted: RedactedFrame) -> None:
        self._sent_ns = self._clock.now_ns()
        self._meter.frame(self._camera_id, Stage.REDACT, Outcome.OK)
        if redacted.whole_frame is not None:
            self._meter.whole_frame(self._camera_id, redacted.whole_frame)
        for sink in self._sinks:
            sink.offer(redacted)
