"""What happens to each frame of one camera: hold it for what later frames tell, plan, redact, hand on; no thread."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from anonymizer.clock import Clock
from anonymizer.pipeline.governor import Governor, told
from anonymizer.pipeline.lookahead import RING_BYTES, Asked, Basis, Held, HoldRing
from anonymizer.pipeline.looks import Looks
from anonymizer.pipeline.playout import Playout
from anonymizer.pipeline.recognition import Recognition
from anonymizer.pipeline.silence import Silence
from anonymizer.pipeline.status import StatusCell
from anonymizer.pipeline.timeline import Timeline
from anonymizer.pipeline.view import View
from anonymizer.pipeline.widening import widened, widened_detections
from anonymizer.policy import Evidence, Policy
from anonymizer.policy.alarms import Alarms
from anonymizer.policy.vigil import Vigil
from anonymizer.ports import FrameSink, Meter
from anonymizer.redact.redactor import Redactor
from anonymizer.track.hindsight import Hindsight
from anonymizer.track.pursuit import Pursuit
from anonymizer.track.tracker import Tracker
from anonymizer.types import (
    AuditFinding,
    Detections,
    Frame,
    InferenceFailed,
    LinkChange,
    LinkState,
    Outcome,
    Reason,
    RedactedFrame,
    RedactionPlan,
    Stage,
    Target,
    Track,
    TrackState,
)

log = logging.getLogger(__name__)

_RING_SLACK_NS = 1_000_000_000  # a frame that waits so long beyond its deadline is too late to be shown


class CameraCore:
    """Decides the fate of every frame, in order; used by one thread.

    A frame is held for the look-ahead, so that whoever is found in it then is masked in this frame too. It leaves when
    the detector has looked at, or passed over, every frame that was taken until then, or when it has waited
    `max_wait_ns` beyond the look-ahead. It never leaves raw: what the policy cannot justify is masked whole, and what
    the redactor cannot redact is dropped and counted.
    """

    def __init__(
        self,
        camera_id: str,
        *,
        submit: Callable[[Frame], None],
        looks: Looks,
        tracker: Tracker,
        hindsight: Hindsight,
        pursuit: Pursuit | None,
        policy: Policy,
        governor: Governor,
        view: View,
        vigil: Vigil | None,
        alarms: Alarms | None,
        recognition: Recognition,
        redactor: Redactor,
        sinks: Sequence[FrameSink],
        meter: Meter,
        clock: Clock,
        status: StatusCell,
        lookahead_ns: int,
        max_wait_ns: int,
    ) -> None:
        """`hindsight` must remember as long as a frame is held and as the tracker holds a track, together.

        `looks` chooses the frames that the models look at. `pursuit` finds whoever is not detected, `vigil`
        watches what attention sees, `alarms` keeps what the audit found; None: it counts for nothing here.
        """
        self._camera_id = camera_id
        self._submit = submit
        self._looks = looks
        self._tracker = tracker
        self._hindsight = hindsight
        self._pursuit = pursuit
        self._policy = policy
        self._governor = governor
        self._view = view
        self._vigil = vigil
        self._alarms = alarms
        self._recognition = recognition
        self._redactor = redactor
        self._sinks = tuple(sinks)
        self._meter = meter
        self._clock = clock
        self._status = status
        self._lookahead_ns = lookahead_ns
        self._playout = Playout(lookahead_ns, max_wait_ns)
        self._timeline = Timeline()
        self._ring = HoldRing(lookahead_ns + max_wait_ns + _RING_SLACK_NS, RING_BYTES)
        self._epoch: int | None = None
        self._applied: Asked | None = None  # the newest frame whose detections the tracker has
        self._newest_ns = 0  # capture time of the newest frame
        self._forgotten_ns = -1  # the same when everybody was last forgotten: of earlier frames, nothing later tells
        self._missing: frozenset[int] = frozenset()  # tracks that the newest detections did not support
        self._fault: Reason | None = None
        self._level = 0  # of the governor
        self._silence = Silence(clock.now_ns())

    def on_frame(self, frame: Frame) -> None:
        """A raw frame arrived."""
        if frame.epoch != self._epoch:
            self._begin_epoch(frame.epoch)
        frame = dataclasses.replace(frame, pts_ns=self._timeline.place(frame.epoch, frame.pts_ns, frame.captured_ns))
        self._newest_ns = frame.captured_ns
        if self._timeline.leapt:  # what is known of earlier frames says nothing of when it was
            self._discard(Reason.CAMERA_CHANGED)
        lag_ns = self._clock.now_ns() - frame.captured_ns
        pose = self._view.pose(frame)
        has_moved = pose is None
        if pose is None:
            self._discard(Reason.CAMERA_MOVED)
        else:
            frame = dataclasses.replace(frame, pose=pose)
        fault = Reason.CAMERA_MOVED if has_moved else self._fault
        held = Held(frame, lag_ns, None if fault is None else Basis(fault=fault))
        lost = self._ring.push(held)
        for _ in lost:
            self._meter.dropped(self._camera_id, "ring")
            self._meter.frame(self._camera_id, Stage.REDACT, Outcome.DROPPED)
        self._meter.queue_depth(self._camera_id, "ring", len(self._ring))
        is_held = all(each is not frame for each in lost)  # whatever is asked about is waited for, so it must be held
        if is_held and not frame.suspect and not has_moved and self._looks.asks(frame):
            self._submit(frame)
        self._release_ready()

    def on_detections(self, found: Detections) -> None:
        """The detector answered."""
        asked = self._looks.answered(found.seq) if found.epoch == self._epoch else None
        if asked is None:
            return
        self._fault = None
        began_ns = self._clock.now_ns()
        waited_since_ns = asked.captured_ns
        for held in self._ring:
            if held.frame.seq < found.seq and held.is_open:  # it was passed over
                waited_since_ns = min(waited_since_ns, held.frame.captured_ns)
                held.basis = self._expected(held.frame, found, asked)
        self._playout.answered(began_ns - waited_since_ns)
        basis = self._taken_in(found, asked)
        for held in self._ring:
            if held.frame.seq == found.seq:
                held.basis = basis
                held.tracking_ns = self._clock.now_ns() - began_ns
        self._release_ready()

    def on_failure(self, failure: InferenceFailed) -> None:
        """The detector failed: until it succeeds again, every frame is masked whole that it has not looked at."""
        if self._fault is None:
            log.warning("camera %s: %s; masking whole frames", self._camera_id, failure.detail)
        self._fault = failure.reason
        self._looks.failed(failure.seq)
        for held in self._ring:
            if held.basis is None:
                held.basis = Basis(fault=failure.reason)
        self._release_ready()

    def on_finding(self, finding: AuditFinding) -> None:
        """A published picture showed a face outside the masks: in mode strict its place is masked for a while."""
        self._looks.disturb()
        if self._alarms is not None:
            self._alarms.add(finding.boxes, self._clock.now_ns())

    def on_link(self, change: LinkChange) -> None:
        """The connection to the camera changed."""
        self._silence.link(change.state)
        self._status.link(change.state, change.detail)
        self._meter.connected(self._camera_id, up=change.state is LinkState.STREAMING)

    def on_time(self) -> None:
        """Time has passed: release what is due, keep viewers fed while the camera is away."""
        self._release_ready()
        now_ns = self._clock.now_ns()
        if not len(self._ring) and now_ns >= self._silence.due_ns:
            self._hand_on(
                self._redactor.placeholder(
                    camera_id=self._camera_id,
                    seq=self._silence.placeholder(now_ns),
                    size=self._silence.size,
                    pts_ns=self._timeline.at(now_ns),
                    captured_ns=now_ns,
                    wall_ns=self._clock.wall_ns(),
                    text=f"{self._camera_id}: no signal",
                )
            )

    def next_deadline_ns(self) -> int:
        """When `on_time` must be called at the latest."""
        if (head := self._ring.head()) is None:
            return self._silence.due_ns
        due_ns = self._playout.due_ns(head.frame.captured_ns)
        return due_ns if self._clock.now_ns() < due_ns else self._playout.deadline_ns(head.frame.captured_ns)

    def _begin_epoch(self, epoch: int) -> None:
        """Another connection or picture size."""
        self._discard(Reason.CAMERA_CHANGED)
        self._view.reset()
        self._status.loaded(self._level)
        self._epoch = epoch

    def _discard(self, reason: Reason) -> None:
        """Nothing known so far applies any more; the frames held show what was before, and are masked whole."""
        for held in self._ring:
            held.basis = Basis(fault=reason)
        if self._alarms is not None:
            self._alarms.reset()
        self._forget()
        self._looks.reset()

    def _forget(self) -> None:
        """Without tracks and without a newest detection, frames are masked whole until the next detection."""
        self._looks.disturb()
        self._tracker.reset()
        self._hindsight.reset()
        self._recognition.reset()
        self._missing = frozenset()
        self._applied = None
        self._forgotten_ns = self._newest_ns

    def _taken_in(self, found: Detections, asked: Asked) -> Basis:
        """Update the tracks; what the frame itself rests on."""
        try:
            tracks = self._tracker.update(found, asked.pts_ns, asked.pose)
            self._hindsight.record(tracks, asked.pts_ns, asked.pose)
            self._recognition.record(found, tracks, asked.pts_ns)
            self._looks.found(tracks)
        except Exception:  # stage boundary: fails closed, without tracks and age every frame is masked whole
            log.exception("camera %s: tracker failed; masking the whole frame", self._camera_id)
            self._forget()
            return Basis(fault=Reason.POLICY_FAILED)
        missing = frozenset(track.track_id for track in tracks if track.unseen_ns)
        found_again = self._missing.intersection(track.track_id for track in tracks if not track.unseen_ns)
        if found_again:
            self._meter.gaps_bridged(self._camera_id, len(found_again))
        self._missing = missing
        self._applied = asked
        return Basis(detections=found, tracks=tracks, age_ns=0)

    def _expected(self, frame: Frame, later: Detections | None = None, asked: Asked | None = None) -> Basis:
        """What a frame rests on that the detector did not look at; `later` and `asked`: the frame it took instead."""
        try:
            tracks = self._tracker.predict(frame.pts_ns, frame.pose)
        except Exception:  # stage boundary: fails closed, without tracks and age every frame is masked whole
            log.exception("camera %s: tracker failed; masking the whole frame", self._camera_id)
            self._forget()
            return Basis(fault=Reason.POLICY_FAILED)
        return Basis(later=later, tracks=tracks, age_ns=self._age_ns(frame, asked))

    def _age_ns(self, frame: Frame, asked: Asked | None) -> int | None:
        """Time between a frame and the nearest one with detections; None before the first detection."""
        if self._applied is None:
            return None
        return min(looked_at.distance_ns(frame) for looked_at in (self._applied, asked) if looked_at is not None)

    def _release_ready(self) -> None:
        now_ns = self._clock.now_ns()
        while (head := self._ring.head()) is not None:
            if now_ns < self._playout.deadline_ns(head.frame.captured_ns) and not self._is_ready(head, now_ns):
                return
            self._release(self._ring.pop())

    def _is_ready(self, held: Held, now_ns: int) -> bool:
        """Whether it is the frame's turn and every frame of its look-ahead has been looked at or passed over."""
        captured_ns = held.frame.captured_ns
        if now_ns < self._playout.due_ns(captured_ns) or self._newest_ns < captured_ns + self._lookahead_ns:
            return False
        return held.is_doomed or self._is_settled(held)

    def _is_settled(self, held: Held) -> bool:
        """Whether every frame of its look-ahead has been looked at or passed over, and it itself."""
        horizon_ns = held.frame.captured_ns + self._lookahead_ns
        return not any(each.is_open and each.frame.captured_ns <= horizon_ns for each in (held, *self._ring))

    def _reach_ns(self, held: Held) -> int:
        """How far off on the time line frames are that were taken within its look-ahead: cameras set their clocks."""
        horizon_ns = held.frame.captured_ns + self._lookahead_ns
        within = (each.frame.pts_ns for each in self._ring if each.frame.captured_ns <= horizon_ns)
        return max(self._lookahead_ns, max(within, default=0) - held.frame.pts_ns)

    def _is_told(self, held: Held) -> bool:
        """Whether its whole look-ahead has come, and was looked at as usual: only that tells who is gone."""
        horizon_ns = held.frame.captured_ns + self._lookahead_ns
        is_dark = any(each.is_doomed and each.frame.captured_ns <= horizon_ns for each in self._ring)
        return self._newest_ns >= horizon_ns and not is_dark and self._is_settled(held)

    def _release(self, held: Held) -> None:
        """Plan, redact, hand on; or leave the frame out, if there is too much to do."""
        frame, basis = held.frame, held.basis or self._expected(held.frame)
        began_ns = self._clock.now_ns()
        if not self._is_shown(held, basis, began_ns):
            self._meter.frame(self._camera_id, Stage.REDACT, Outcome.SKIPPED)
            return
        tracks, plan = self._decided(held, basis)
        self._recognition.note(plan)
        planned_ns = self._clock.now_ns()
        self._meter.stage_seconds(self._camera_id, Stage.TRACK, (held.tracking_ns + planned_ns - began_ns) / 1e9)
        for target in Target:
            self._meter.tracks(
                self._camera_id, target, len({each.track_id for each in tracks if each.target is target})
            )
        self._status.redacted(len({track.track_id for track in tracks}))
        try:
            redacted = self._redactor.redact(frame, plan)
        except Exception:  # stage boundary: fails closed, what cannot be redacted is not published
            log.exception("camera %s: frame %d could not be redacted; dropped", self._camera_id, frame.seq)
            self._meter.frame(self._camera_id, Stage.REDACT, Outcome.FAILED)
            return
        self._meter.stage_seconds(self._camera_id, Stage.REDACT, (self._clock.now_ns() - planned_ns) / 1e9)
        self._silence.broken(redacted.size, self._clock.now_ns())
        self._hand_on(redacted)

    def _is_shown(self, held: Held, basis: Basis, now_ns: int) -> bool:
        """Ask the governor, and tell it how the frame fared; frames that are doomed anyway say nothing about load."""
        is_shown = self._governor.shows(held.frame.captured_ns, is_seen=basis.detections is not None)
        if basis.age_ns is not None and not held.frame.suspect:
            self._governor.observe(age_ns=basis.age_ns, lag_ns=held.lag_ns, is_shown=is_shown, now_ns=now_ns)
            if self._governor.level != self._level:
                self._level = self._governor.level
                self._meter.governor_level(self._camera_id, self._level)
                self._status.loaded(self._level)
                log.info("camera %s: %s", self._camera_id, told(self._level))
        return is_shown

    def _decided(self, held: Held, basis: Basis) -> tuple[tuple[Track, ...], RedactionPlan]:
        """The tracks in the frame, those included that only later frames tell of, and its plan."""
        frame = held.frame
        try:
            known = self._hindsight.at(frame.pts_ns, self._reach_ns(held), frame.pose)
            learnt = [track for track in known if track.unseen_ns]
            tracks = (*basis.tracks, *learnt)
            if self._pursuit is not None and (basis.detections is not None or basis.later is not None):
                is_told = frame.captured_ns > self._forgotten_ns and self._is_told(held)  # else nobody is gone
                ahead = (other.frame for other in self._ring)
                tracks = self._pursuit.placed(frame, ahead, basis.tracks, learnt, is_settled=is_told)
            growth = self._governor.growth(basis.age_ns or 0)
            unexplained = self._vigil.watch(basis.detections, tracks, frame.size) if self._vigil else ()
            if self._alarms is not None:
                unexplained = (*unexplained, *self._alarms.at(self._clock.now_ns()))
            plan = self._policy.decide(
                Evidence(
                    seq=frame.seq,
                    size=frame.size,
                    suspect=frame.suspect,
                    detections=basis.detections,
                    later=widened_detections(basis.later, growth),
                    tracks=widened(tracks, growth),
                    detection_age_ns=basis.age_ns,
                    fault=basis.fault,
                    unexplained=unexplained,
                    standings=self._recognition.standings(tracks, frame.pts_ns),
                    growth=growth,
                )
            )
        except Exception:  # stage boundary: fails closed, an error in tracker or policy masks the whole frame
            log.exception("camera %s: tracker or policy failed; masking the whole frame", self._camera_id)
            self._forget()
            return (), RedactionPlan(frame.seq, whole_frame=Reason.POLICY_FAILED)
        if plan.whole_frame is None:
            self._count(basis, learnt)
        return tracks, plan

    def _count(self, basis: Basis, learnt: Sequence[Track]) -> None:
        """What a mask owes to the look-ahead and to detections that nothing has confirmed yet."""
        if {track.track_id for track in learnt} - {track.track_id for track in basis.tracks}:
            self._meter.masked_backwards(self._camera_id)
        if basis.detections is not None:
            unconfirmed = sum(not track.unseen_ns and track.state is TrackState.TENTATIVE for track in basis.tracks)
            if unconfirmed:
                self._meter.unconfirmed_masked(self._camera_id, unconfirmed)

    def _hand_on(self, redacted: RedactedFrame) -> None:
        self._meter.frame(self._camera_id, Stage.REDACT, Outcome.OK)
        if redacted.whole_frame is not None:
            self._meter.whole_frame(self._camera_id, redacted.whole_frame)
        for sink in self._sinks:
            sink.offer(redacted)
