"""The camera core releases frames in order, each with a verdict, and fails closed in every doubt."""

from __future__ import annotations

import numpy as np
import pytest

from anonymizer.policy import Policy
from anonymizer.pose import STILL, Pose
from anonymizer.settings.schema import Mode, PrivacySettings
from anonymizer.track.tracker import Tracker
from anonymizer.types import (
    AuditFinding,
    Detections,
    LinkChange,
    LinkState,
    Reason,
    RedactedFrame,
    Size,
    Track,
)
from tests.camera_rig import (
    FACE,
    MS,
    PLANES,
    BrokenError,
    BrokenPolicy,
    BrokenRedactor,
    BrokenTracker,
    Rig,
    masked,
    untouched,
)
from tests.fakes import make_frame


def test_a_frame_waits_for_its_detections_and_leaves_masked_there_and_only_there() -> None:
    rig = Rig()
    rig.frame(0)
    assert rig.out == []
    rig.found(0, FACE)
    assert rig.story() == [(0, None)]
    assert masked(rig.out[0], (45, 40, 75, 70))
    assert untouched(rig.out[0], (110, 90, 160, 120))


def test_a_frame_without_anybody_leaves_as_it_is() -> None:
    rig = Rig()
    rig.frame(0)
    rig.found(0)
    assert rig.story() == [(0, None)]
    assert untouched(rig.out[0], (0, 0, 160, 120))


def test_a_frame_that_was_passed_over_is_masked_where_the_next_detection_saw_somebody() -> None:
    rig = Rig()
    rig.frame(0)
    rig.found(0)
    rig.frame(1)
    rig.frame(2)
    rig.found(2, FACE)
    assert rig.story() == [(0, None), (1, None), (2, None)]
    assert masked(rig.out[1], (45, 40, 75, 70))


def test_frames_that_were_passed_over_before_the_first_detection_are_masked_whole() -> None:
    rig = Rig()
    for seq in range(3):
        rig.frame(seq)
    rig.found(2, FACE)
    assert rig.story() == [(0, Reason.STARTING), (1, Reason.STARTING), (2, None)]


def test_a_frame_that_waited_too_long_at_the_start_is_masked_whole() -> None:
    rig = Rig()
    rig.frame(0)
    rig.wait(0.179)
    assert rig.out == []
    rig.wait(0.002)
    assert rig.story() == [(0, Reason.STARTING)]


def test_a_frame_that_waited_too_long_is_masked_from_fresh_tracks() -> None:
    rig = Rig()
    rig.frame(0)
    rig.found(0, FACE)
    rig.frame(1)
    rig.wait(0.2)
    assert rig.story()[1] == (1, None)
    assert masked(rig.out[1], (45, 40, 75, 70))


def test_without_a_detection_for_too_long_every_frame_is_masked_whole_until_the_next_one() -> None:
    rig = Rig()
    rig.frame(0)
    rig.found(0, FACE)
    for seq in range(1, 20):
        rig.frame(seq)
    rig.wait(0.2)
    reasons = [reason for _, reason in rig.story()]
    assert reasons[10] is None
    assert set(reasons[11:]) == {Reason.STALE}
    assert len(reasons) == 20
    rig.frame(20)
    rig.found(20)
    assert rig.story()[-1] == (20, None)


@pytest.mark.parametrize("reason", [Reason.INFERENCE_FAILED, Reason.INVALID_OUTPUT])
def test_a_failed_inference_masks_every_frame_at_once_until_the_next_success(reason: Reason) -> None:
    rig = Rig()
    rig.frame(0)
    rig.found(0)
    rig.frame(1)
    rig.failed(1, reason)
    rig.frame(2)
    assert rig.story()[1:] == [(1, reason), (2, reason)]
    rig.found(2)
    rig.frame(3)
    rig.found(3)
    assert rig.story()[-1] == (3, None)
    assert rig.meter.counts["whole_frame", "cam", reason] == 2


def test_a_suspect_frame_is_masked_whole_at_once_and_not_even_shown_to_the_detector() -> None:
    rig = Rig()
    rig.frame(0)
    rig.found(0)
    rig.frame(1, suspect=True)
    assert rig.story() == [(0, None), (1, Reason.SUSPECT_DECODE)]
    assert rig.asked == [0]


def test_a_suspect_frame_does_not_overtake_the_frames_before_it() -> None:
    rig = Rig()
    rig.frame(0)
    rig.frame(1, suspect=True)
    assert rig.out == []
    rig.found(0)
    assert [seq for seq, _ in rig.story()] == [0, 1]


def test_a_new_connection_masks_what_is_held_and_forgets_all_tracks() -> None:
    rig = Rig()
    rig.frame(0)
    rig.found(0, FACE)
    rig.frame(1)
    rig.frame(2, epoch=1)
    assert rig.story()[1:] == [(1, Reason.CAMERA_CHANGED)]
    rig.found(1, FACE, epoch=0)
    assert len(rig.out) == 2
    rig.found(2, epoch=1)
    assert rig.story()[-1] == (2, None)
    assert untouched(rig.out[-1], FACE)


def test_detections_that_come_after_their_frame_left_still_feed_the_tracks() -> None:
    rig = Rig()
    rig.frame(0)
    rig.wait(0.2)
    rig.found(0, FACE)
    rig.frame(1)
    rig.wait(0.2)
    assert rig.story() == [(0, Reason.STARTING), (1, None)]
    assert masked(rig.out[1], (45, 40, 75, 70))


@pytest.mark.parametrize(("policy", "tracker"), [(BrokenPolicy, Tracker), (Policy, BrokenTracker)])
def test_an_error_in_policy_or_tracker_masks_the_whole_frame(policy: type[Policy], tracker: type[Tracker]) -> None:
    rig = Rig(policy=policy, tracker=tracker)
    rig.frame(0)
    rig.found(0, FACE)
    rig.frame(1)
    rig.wait(0.2)
    assert rig.story() == [(0, Reason.POLICY_FAILED), (1, Reason.POLICY_FAILED)]


def test_a_late_answer_that_breaks_the_tracker_masks_whole_frames_instead_of_crashing() -> None:
    rig = Rig(tracker=BrokenTracker)
    rig.frame(0)
    rig.wait(0.2)
    rig.found(0, FACE)
    rig.frame(1)
    rig.wait(0.2)
    assert rig.story() == [(0, Reason.POLICY_FAILED), (1, Reason.POLICY_FAILED)]


class StumblingTracker(Tracker):
    """Fails at the second update."""

    updates = 0

    def update(self, detections: Detections, pts_ns: int, pose: Pose = STILL) -> tuple[Track, ...]:
        self.updates += 1
        if self.updates == 2:
            raise BrokenError
        return super().update(detections, pts_ns, pose)


def test_after_an_error_in_the_tracker_what_it_knew_before_explains_no_frame() -> None:
    rig = Rig(tracker=StumblingTracker)
    for seq in range(2):
        rig.frame(seq)
        rig.found(seq, FACE)
    rig.frame(2)
    rig.wait(0.2)
    rig.frame(3)
    rig.found(3)
    assert rig.story() == [(0, None), (1, Reason.POLICY_FAILED), (2, Reason.STARTING), (3, None)]
    assert untouched(rig.out[-1], FACE)


def test_a_frame_that_cannot_be_redacted_is_not_published() -> None:
    rig = Rig(redactor=BrokenRedactor)
    rig.frame(0)
    rig.found(0, FACE)
    assert rig.out == []
    assert rig.meter.counts["frame", "cam", "redact", "failed"] == 1


def test_a_frame_that_waited_long_beyond_its_deadline_is_dropped_and_never_published() -> None:
    rig = Rig()
    rig.frame(0)
    rig.clock.advance(1.2)
    rig.frame(1)
    rig.found(1)
    assert [seq for seq, _ in rig.story()] == [1]
    assert rig.meter.counts["dropped", "cam", "ring"] == 1


def test_while_the_camera_is_away_placeholders_without_camera_pixels_go_out() -> None:
    rig = Rig()
    rig.frame(0)
    rig.found(0)
    rig.core.on_link(LinkChange("cam", LinkState.WAITING, 0, "connection refused"))
    rig.wait(0.9)
    assert len(rig.out) == 1
    rig.wait(0.2)
    rig.wait(0.5)
    rig.wait(0.1)
    assert [frame.whole_frame for frame in rig.out[1:]] == [Reason.NO_SIGNAL] * 2
    assert rig.out[1].size == Size(160, 120)
    pts = [frame.pts_ns for frame in rig.out]
    assert pts == sorted(set(pts))


def test_a_connected_camera_that_sends_nothing_gets_placeholders_too() -> None:
    rig = Rig()
    rig.wait(2.9)
    assert rig.out == []
    rig.wait(0.2)
    assert rig.out[0].whole_frame is Reason.NO_SIGNAL


def test_the_first_frame_after_placeholders_is_published_normally() -> None:
    rig = Rig()
    rig.wait(4)
    rig.frame(0, epoch=1)
    rig.found(0, epoch=1)
    assert [frame.whole_frame for frame in rig.out] == [Reason.NO_SIGNAL, None]
    assert rig.out[1].pts_ns > rig.out[0].pts_ns


def test_the_next_deadline_is_when_the_oldest_frame_has_waited_enough() -> None:
    rig = Rig()
    rig.frame(0)
    assert rig.core.next_deadline_ns() == rig.clock.now_ns() + 180 * MS


def test_no_order_of_events_lets_a_frame_out_twice_or_out_of_order() -> None:
    rng = np.random.default_rng(7)
    rig = Rig()
    seq = 0
    for _ in range(600):
        match int(rng.integers(0, 6)):
            case 0 | 1 | 2:
                rig.frame(seq, epoch=seq // 50, suspect=bool(rng.random() < 0.1))
                seq += 1
            case 3:
                if rig.asked:
                    rig.found(rig.asked[-1], FACE, epoch=rig.asked[-1] // 50)
            case 4:
                if rng.random() < 0.1:
                    rig.failed(seq)
            case _:
                rig.wait(float(rng.random() * 0.1))
    seqs = [frame.seq for frame in rig.out if frame.whole_frame is not Reason.NO_SIGNAL]
    assert seqs == sorted(set(seqs))
    assert len(seqs) + rig.meter.counts["frame", "cam", "redact", "skipped"] > 200
    assert len(seqs) > 100


# --- what the audit found ---------------------------------------------------------------------------------------

FINDING = AuditFinding("cam", 0, 0, Size(64, 48), ((8.0, 8.0, 24.0, 24.0),))


def masks_finding(frame: RedactedFrame) -> bool:
    return any(r.box[0] <= 8 and r.box[1] <= 8 and r.box[2] >= 24 and r.box[3] >= 24 for r in frame.regions)


def test_in_mode_strict_a_face_that_the_audit_found_is_masked_for_the_hold_time() -> None:
    rig = Rig(privacy=PrivacySettings(mode=Mode.STRICT, lookahead_ms=0, hold_ms=200))
    shown = []
    for seq in range(10):
        if seq == 2:
            rig.core.on_finding(FINDING)
        rig.frame(seq)
        rig.found(seq)
        shown.append(masks_finding(rig.out[-1]))
    assert shown == [False] * 2 + [True] * 5 + [False] * 3


def test_in_the_other_modes_a_finding_changes_no_mask() -> None:
    rig = Rig()
    rig.core.on_finding(FINDING)
    rig.frame(0)
    rig.found(0)
    assert rig.out[-1].regions == ()


def test_a_finding_of_another_connection_masks_nothing() -> None:
    rig = Rig(privacy=PrivacySettings(mode=Mode.STRICT, lookahead_ms=0))
    rig.frame(0)
    rig.found(0)
    rig.core.on_finding(FINDING)
    rig.frame(1, epoch=1)
    rig.found(1, epoch=1)
    assert not masks_finding(rig.out[-1])


def test_nobody_is_bare_while_nobody_looks_again_however_short_tracks_are_held() -> None:
    rig = Rig(privacy=PrivacySettings(lookahead_ms=0, hold_ms=200, max_detection_age_ms=1000))
    rig.frame(0)
    rig.found(0, FACE)
    for seq in range(1, 20):
        rig.frame(seq)
    rig.wait(0.2)
    assert len(rig.out) == 20
    assert all(frame.whole_frame is not None or masked(frame, FACE) for frame in rig.out)
    assert rig.out[-1].whole_frame is None


def test_a_frame_far_ahead_by_the_cameras_clock_alone_is_masked_whole_until_it_is_looked_at() -> None:
    """Its clock was set, or frames that waited on their way come in at once: nobody knows where people were since."""
    rig = Rig(privacy=PrivacySettings(lookahead_ms=0))
    rig.frame(0)
    rig.found(0, FACE)
    rig.clock.advance(0.04)
    now = rig.clock.now_ns()
    rig.core.on_frame(make_frame(1, captured_ns=now, pts_ns=now + 3000 * MS, planes=PLANES))
    rig.wait(0.2)
    rig.frame(2)
    rig.found(2)
    assert rig.story() == [(0, None), (1, Reason.STARTING), (2, None)]


@pytest.mark.parametrize(
    ("captured_ms", "pts_ms"),
    [
        ([40, 640], [40, 80]),  # the camera's clock stood still
        ([640] * 15, [40 * number for number in range(1, 16)]),  # pictures that waited come in at once
    ],
)
def test_a_frame_is_as_far_from_the_newest_look_as_the_clock_tells_that_tells_more(
    captured_ms: list[int], pts_ms: list[int]
) -> None:
    rig = Rig()
    start_ns = rig.clock.now_ns()
    for seq, (captured, pts) in enumerate(zip(captured_ms, pts_ms, strict=True)):
        now_ns = start_ns + captured * MS
        rig.clock.advance((now_ns - rig.clock.now_ns()) / 1e9)
        rig.core.on_frame(make_frame(seq, captured_ns=now_ns, pts_ns=start_ns + pts * MS, planes=PLANES))
        if seq == 0:
            rig.found(0, FACE)
    rig.wait(0.2)
    assert rig.story()[0] == (0, None)
    assert rig.story()[-1] == (len(pts_ms) - 1, Reason.STALE)


def test_an_answer_that_comes_again_makes_nobody_forgotten_whom_a_newer_look_found() -> None:
    rig = Rig(privacy=PrivacySettings(lookahead_ms=0, hold_ms=0))
    rig.frame(1)
    rig.found(1)
    rig.frame(2)
    rig.found(2, FACE)
    rig.found(1)
    rig.frame(3)
    rig.wait(0.3)
    assert rig.out[-1].seq == 3
    assert masked(rig.out[-1], FACE)
