"""With look-ahead nobody shows before the first detection or in a gap, and the output is as smooth as the camera."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.policy import Evidence, Policy
from anonymizer.settings.schema import Mode
from anonymizer.types import InferenceFailed, Planes, Reason, RedactionPlan
from tests.fakes import make_detections, make_frame
from tests.lookahead_rig import FACE, MS, PLANES, SIZE, STEP_MS, WALL, Box, Rig, both, face, is_masked, nobody

# What later frames tell


def test_when_what_later_frames_told_is_lost_nobody_counts_as_gone_in_the_frames_held() -> None:
    """Last seen in frame 5; without the mishap the look-ahead would tell from frame 23 on that they left."""
    nonsense = (float("nan"),) * 4
    for mishap, still_masked in ((nobody(32), 22), (make_detections(nonsense, seq=32), 30)):
        rig = Rig()
        for seq in range(60):
            rig.play(seq, mishap if seq == 32 else face(seq) if seq <= 5 else nobody(seq))
        rig.finish()
        masked = [frame.seq for frame in rig.frames() if frame.whole_frame is None and is_masked(frame, FACE)]
        assert max(masked) == still_masked


def test_a_camera_that_stalls_tells_of_nobody_that_they_left() -> None:
    """Last seen in frame 5, and nothing comes for a while after frame 26: somebody may be found again after that."""
    rig = Rig()
    for seq in [*range(27), *range(60, 90)]:
        rig.play(seq, face(seq) if seq <= 5 else nobody(seq))
    rig.finish()
    assert next(frame.seq for frame in rig.frames() if not is_masked(frame, FACE)) >= 60


def test_where_a_failure_of_the_policy_loses_who_is_found_again_they_stay_masked_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decide = Policy.decide

    def stumbling(policy: Policy, evidence: Evidence) -> RedactionPlan:
        if evidence.seq == 20:
            raise ValueError
        return decide(policy, evidence)

    monkeypatch.setattr(Policy, "decide", stumbling)
    rig = Rig()
    for seq in range(60):
        rig.play(seq, face(seq) if seq <= 5 or 29 <= seq <= 31 else nobody(seq))
    rig.finish()
    assert all(is_masked(frame, FACE) for frame in rig.frames() if frame.seq <= 31)
    assert [frame.seq for frame in rig.frames() if frame.whole_frame] == [20]


def test_whoever_leaves_between_two_looks_is_masked_until_the_second_however_far_apart_they_are() -> None:
    """A look each 0.8 s: the one at frame 40 tells that they are gone, not when they went."""
    rig = Rig()
    for seq in range(80):
        rig.play(seq, None if seq % 20 else face(seq) if seq <= 20 else nobody(seq))
    rig.finish()
    shown = [frame for frame in rig.frames() if frame.whole_frame is None]
    assert {38, 39, 40} <= {frame.seq for frame in shown}
    assert all(is_masked(frame, FACE) for frame in shown if 20 <= frame.seq < 40)
    assert not any(is_masked(frame, FACE) for frame in shown if frame.seq >= 60)


@pytest.mark.parametrize("damaged", [range(20, 34), range(28, 29)], ids=["all of it", "one frame"])
def test_damaged_frames_within_the_look_ahead_tell_of_nobody_that_they_left(damaged: range) -> None:
    """Without the damage they would show from frame 23 on."""
    rig = Rig()
    for seq in range(60):
        found = None if seq in damaged else face(seq) if seq <= 5 else nobody(seq)
        rig.play(seq, found, suspect=seq in damaged)
    rig.finish()
    assert all(is_masked(frame, FACE) for frame in rig.frames() if frame.seq < damaged.stop)


def test_a_look_that_failed_within_the_look_ahead_tells_of_nobody_that_they_left() -> None:
    """Without the failure they would show from frame 23 on."""
    rig = Rig()
    for seq in range(60):
        broken = InferenceFailed("cam", seq, 0, Reason.INFERENCE_FAILED, "it broke")
        rig.play(seq, broken if seq == 28 else face(seq) if seq <= 5 else nobody(seq))
    rig.finish()
    assert all(is_masked(frame, FACE) for frame in rig.frames() if frame.seq <= 28)


@pytest.mark.parametrize("leap_ms", [0, 90, 200, 600, 2000, 4000])
def test_somebody_who_is_found_after_a_camera_set_its_clock_ahead_is_masked_in_the_frames_before(leap_ms: int) -> None:
    rig = Rig()
    for seq in range(40):
        rig.play(seq, face(seq) if seq >= 25 else nobody(seq), pts_ahead_ms=leap_ms if seq >= 23 else 0)
    rig.finish()
    bare = [frame.seq for frame in rig.frames() if not is_masked(frame, FACE)]
    assert bare == [*range(bare[-1] + 1)]  # those more than the look-ahead before it, and no others
    assert bare[-1] <= 25 - 500 // STEP_MS


def test_what_is_turned_away_from_a_full_ring_is_not_asked_about_so_that_every_answer_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sixty_frames = 60 * sum(plane.nbytes for plane in (PLANES.y, PLANES.u, PLANES.v))
    monkeypatch.setattr("anonymizer.pipeline.camera.RING_BYTES", sixty_frames)
    asked: list[int] = []
    rig = Rig(lookahead_ms=3000, submit=lambda frame: asked.append(frame.seq))
    for seq in range(100):
        rig.play(seq, nobody(seq) if seq < 90 else face(seq))
    rig.finish()
    rig.finish()
    turned_away = rig.meter.counts["dropped", "cam", "ring"]
    assert turned_away > 10
    assert len(asked) == 100 - turned_away
    published = {frame.seq for frame in rig.frames()}
    assert set(asked) == published


def test_somebody_who_is_found_late_is_masked_in_the_frames_that_are_still_held() -> None:
    rig = Rig()
    for seq in range(40):
        rig.play(seq, face(seq) if seq >= 20 else nobody(seq))
    rig.finish()
    shown = [frame.seq for frame in rig.frames() if not is_masked(frame, FACE)]
    assert shown == list(range(8))  # 500 ms are 12 frames and a half
    assert rig.meter.counts["masked_backwards", "cam"] == 12


def test_somebody_who_is_found_beside_a_fainter_face_is_masked_in_the_frames_before_as_well() -> None:
    """The one who is surely seen took over the track of the other one, and had no time before that was masked."""
    rig, beside = Rig(), (118.0, 80.0, 148.0, 120.0)
    for seq in range(40):
        faint, sure = make_detections(FACE, seq=seq, score=0.3), make_detections(beside, seq=seq, score=0.9)
        rig.play(seq, faint if seq < 20 else both(faint, sure))
    rig.finish()
    assert [frame.seq for frame in rig.frames() if not is_masked(frame, beside)] == list(range(20 - 500 // STEP_MS))
    assert all(is_masked(frame, FACE) for frame in rig.frames())


def test_somebody_whom_an_answer_tells_that_comes_late_for_once_is_masked_in_the_frames_before_as_well() -> None:
    rig = Rig()
    for seq in range(40):
        is_late = seq >= 25
        rig.play(seq, face(seq) if is_late else nobody(seq), answer_ms=150 if is_late else None)
    rig.finish()
    assert [frame.seq for frame in rig.frames() if not is_masked(frame, FACE)] == list(range(25 - 500 // STEP_MS))


@pytest.mark.parametrize("rig", [Rig(lookahead_ms=0), Rig(mode=Mode.LIVE)], ids=["no look-ahead", "mode live"])
def test_without_look_ahead_they_show_until_they_are_found(rig: Rig) -> None:
    for seq in range(40):
        rig.play(seq, face(seq) if seq >= 20 else nobody(seq))
    rig.finish()
    assert [frame.seq for frame in rig.frames() if not is_masked(frame, FACE)] == list(range(20))
    assert rig.meter.counts["masked_backwards", "cam"] == 0


def test_whoever_turns_around_while_unseen_is_masked_where_nobody_expected_them() -> None:
    rig = Rig()
    boxes = [(100.0 + x, 80.0, 130.0 + x, 120.0) for x in [*range(0, 40, 4), *range(40, 0, -4), *[0] * 20]]
    for seq, box in enumerate(boxes):
        rig.play(seq, nobody(seq) if 9 <= seq <= 18 else face(seq, box))
    rig.finish()
    assert [frame.seq for frame in rig.frames() if not is_masked(frame, boxes[frame.seq])] == []


def test_a_gap_is_counted_once_when_it_ends() -> None:
    rig = Rig()
    for seq in range(40):
        rig.play(seq, nobody(seq) if 10 <= seq < 20 or seq > 30 else face(seq))
    rig.finish()
    assert rig.meter.counts["gaps_bridged", "cam"] == 1
    assert all(is_masked(frame, FACE) for frame in rig.frames())


def test_a_detection_that_nothing_confirms_is_masked_and_counted() -> None:
    rig = Rig()
    for seq in range(20):
        rig.play(seq, face(seq) if seq == 10 else nobody(seq))
    rig.finish()
    assert is_masked(rig.frames()[10], FACE)
    assert rig.meter.counts["unconfirmed_masked", "cam"] == 1


def test_what_is_found_beyond_the_look_ahead_does_not_mask_more() -> None:
    """A slow answer holds frames longer; they show no less for that."""
    rig = Rig(lookahead_ms=80, answer_ms=150)
    for seq in range(20):
        rig.play(seq, face(seq) if seq >= 10 else nobody(seq))
    rig.finish()
    assert [frame.seq for frame in rig.frames() if not is_masked(frame, FACE)] == list(range(8))


# When frames leave


@pytest.mark.parametrize("answer_ms", [5, 35, 90, 150])
def test_frames_leave_one_by_one_as_evenly_as_the_camera_took_them(answer_ms: int) -> None:
    rig = Rig(answer_ms=answer_ms)
    for seq in range(60):
        rig.play(seq, nobody(seq))
    rig.finish()
    left_ms = [at_ms for at_ms, frame in rig.out if 10 < frame.seq < 40]
    assert {after - before for before, after in itertools.pairwise(left_ms)} == {STEP_MS}


def test_frames_leave_evenly_even_if_the_detector_looks_at_every_third_only() -> None:
    rig = Rig(answer_ms=60)
    for seq in range(90):
        rig.play(seq, nobody(seq) if seq % 3 == 0 else None)
    rig.finish()
    steps = [after - before for (before, _), (after, _) in itertools.pairwise(rig.out) if before > 1000]
    assert max(steps[:40]) <= STEP_MS + 5


def test_a_frame_is_as_late_as_the_look_ahead_and_the_answer() -> None:
    rig = Rig(answer_ms=90)
    for seq in range(40):
        rig.play(seq, nobody(seq))
    rig.finish()
    ages_ms = {at_ms - frame.captured_ns // MS for at_ms, frame in rig.out if 5 < frame.seq < 25}
    assert ages_ms == {500 + 90}


def test_a_frame_that_nobody_looks_at_leaves_at_the_deadline_masked_whole() -> None:
    rig = Rig()
    for seq in range(40):
        rig.play(seq, nobody(seq) if seq < 5 else None)
    rig.finish()
    late = [(at_ms - frame.captured_ns // MS, frame.whole_frame) for at_ms, frame in rig.out if 16 <= frame.seq < 40]
    assert set(late) == {(500 + 180, Reason.STALE)}


def test_a_doomed_frame_neither_overtakes_others_nor_leaves_before_its_turn() -> None:
    rig = Rig()
    for seq in range(40):
        rig.play(seq, None if seq == 20 else nobody(seq), suspect=seq == 20)
    rig.finish()
    assert [frame.seq for frame in rig.frames()] == list(range(40))
    assert [frame.seq for frame in rig.frames() if frame.whole_frame] == [20]
    left_ms = [at_ms for at_ms, frame in rig.out if 15 < frame.seq < 25]
    assert {after - before for before, after in itertools.pairwise(left_ms)} == {STEP_MS}


# Doubt


def test_a_failure_masks_whole_what_was_not_looked_at_and_leaves_alone_what_was() -> None:
    rig = Rig()
    broken = InferenceFailed("cam", 20, 0, Reason.INFERENCE_FAILED, "it broke")
    for seq in range(40):
        rig.play(seq, broken if seq == 20 else nobody(seq))
    rig.finish()
    assert [(frame.seq, frame.whole_frame) for frame in rig.frames() if frame.whole_frame] == [
        (20, Reason.INFERENCE_FAILED)
    ]


def test_during_a_failure_frames_that_arrive_are_masked_whole_unless_the_detector_then_sees_them_itself() -> None:
    rig = Rig()
    for seq in range(40):
        broken = InferenceFailed("cam", seq, 0, Reason.INFERENCE_FAILED, "it broke")
        rig.play(seq, broken if seq == 20 else None if seq in (21, 22) else nobody(seq))
    rig.finish()
    assert [frame.seq for frame in rig.frames() if frame.whole_frame] == [20, 21, 22]


def test_a_change_of_the_picture_masks_whole_all_frames_that_are_held_and_keeps_the_pace() -> None:
    rig = Rig()
    for seq in range(20):
        rig.play(seq, nobody(seq))
    rig.finish()
    before = len(rig.out)
    for number, epoch in enumerate([0, 0, 0, 1]):
        rig.clock.advance(0.01)
        now_ns = rig.clock.now_ns()
        rig.core.on_frame(make_frame(100 + number, epoch=epoch, captured_ns=now_ns, pts_ns=now_ns, planes=PLANES))
        rig.core.on_detections(make_detections(seq=100 + number, epoch=epoch))
    assert len(rig.out) == before
    rig.finish()
    assert [frame.whole_frame for frame in rig.frames()[-4:]] == [Reason.CAMERA_CHANGED] * 3 + [None]


def test_a_ring_without_room_lets_fewer_frames_out_but_never_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anonymizer.pipeline.camera.RING_BYTES", 4 * SIZE.width * SIZE.height * 3 // 2)
    rig = Rig()
    for seq in range(100):
        rig.play(seq, face(seq))
    rig.finish()
    assert 20 < len(rig.frames()) < 40
    assert rig.meter.counts["dropped", "cam", "ring"] == 100 - len(rig.frames())
    assert all(is_masked(frame, FACE) for frame in rig.frames())


# The bar: no leak at all, for all tracks that the model of motion covers


@dataclass(frozen=True)
class Walker:
    """Somebody who walks straight on, and in which frames the detector sees them."""

    born: int
    box: Box  # in frame `born`
    step_px: tuple[float, float]  # a frame
    seen: tuple[bool, ...]  # from frame `born` on

    def at(self, seq: int) -> Box:
        dx, dy = (step * (seq - self.born) for step in self.step_px)
        x1, y1, x2, y2 = self.box
        return x1 + dx, y1 + dy, x2 + dx, y2 + dy


LENGTH = 70
LOOKAHEAD_FRAMES = 500 // STEP_MS
HOLD_FRAMES = 1000 // STEP_MS
SIDES_A_SECOND = 4.0  # 1 m/s for a face
REACH_SIDES = 1.0  # how far two sigmas reach at most


@st.composite
def walkers(draw: st.DrawFn, row: int) -> Walker:
    """Missed for some frames at first, then seen at least four times before every gap."""
    width = draw(st.floats(16, 40))
    height = width * draw(st.floats(1.0, 1.4))
    born = draw(st.integers(3, 25))
    missed = draw(st.integers(0, LOOKAHEAD_FRAMES))
    fastest = min(SIDES_A_SECOND * STEP_MS / 1000, REACH_SIDES / max(missed, 1)) * height
    speed, angle = draw(st.floats(0, fastest)), draw(st.floats(-0.2, 0.2))
    direction = draw(st.sampled_from([-1, 1]))
    seen = [False] * missed
    while len(seen) < LENGTH:
        seen += [True] * draw(st.integers(4, 20)) + [False] * draw(st.integers(1, HOLD_FRAMES - 1))
    x, y = (100.0 if direction > 0 else 500.0), 60.0 + 160 * row
    return Walker(
        born,
        (x, y, x + width, y + height),
        (direction * speed * float(np.cos(angle)), speed * float(np.sin(angle))),
        tuple(seen),
    )


def nobody_to_see(_people: tuple[Walker, ...], _seq: int) -> Planes:
    """A wall: nothing in it tells where somebody is."""
    return WALL


def everybody(people: tuple[Walker, ...], seq: int) -> Planes:
    """Each with a look of his own, before something that does not move."""
    luma = PLANES.y.copy()
    for row, walker in enumerate(people):
        x1, y1, x2, y2 = walker.at(seq)
        look = np.random.default_rng(row).integers(17, 256, (8, 6), dtype=np.uint8)
        across, down = (x2 - x1) / 6, (y2 - y1) / 8
        matrix = np.array([[across, 0, x1 - 0.5 + across / 2], [0, down, y1 - 0.5 + down / 2]])
        edge = cv2.BORDER_TRANSPARENT
        cv2.warpAffine(look, matrix, (SIZE.width, SIZE.height), luma, flags=cv2.INTER_LINEAR, borderMode=edge)
    return Planes(luma, PLANES.u, PLANES.v)


@pytest.mark.parametrize("scene", [nobody_to_see, everybody])
@settings(max_examples=60, deadline=None)
@given(
    people=st.tuples(walkers(row=0), walkers(row=1), walkers(row=2)),
    passed_over=st.lists(st.integers(1, LENGTH), max_size=20, unique=True),
    answer_ms=st.sampled_from([5, 30, 120]),
)
def test_nobody_shows_whatever_the_detector_misses_within_look_ahead_and_hold(
    scene: Callable[[tuple[Walker, ...], int], Planes],
    people: tuple[Walker, ...],
    passed_over: list[int],
    answer_ms: int,
) -> None:
    rig = Rig(answer_ms=answer_ms)
    last_chance = {each.born + LOOKAHEAD_FRAMES for each in people}  # passed over, it would be a miss too many
    looked_at: list[int] = []
    for seq in range(LENGTH):
        boxes = [each.at(seq) for each in people if seq >= each.born and each.seen[seq - each.born]]
        is_busy = seq in passed_over and seq - 1 not in passed_over and seq not in last_chance
        looked_at += [] if is_busy else [seq]
        rig.play(seq, None if is_busy else make_detections(*boxes, seq=seq), planes=scene(people, seq))
    rig.finish()
    assert [frame.seq for frame in rig.frames()] == list(range(LENGTH))
    last_seen = {each: max(n for n in looked_at if n >= each.born and each.seen[n - each.born]) for each in people}
    exposed = [
        (frame.seq, each)
        for frame in rig.frames()
        for each in people
        if each.born <= frame.seq <= last_seen[each] and not is_masked(frame, each.at(frame.seq))
    ]
    assert exposed == []
