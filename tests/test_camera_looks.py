"""Of most frames the detector is never asked: which ones, and how those in between are masked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from anonymizer.policy.stillness import CALM_NS, Stillness
from anonymizer.types import U8, AuditFinding, Planes, Reason, Size
from tests.camera_rig import FACE, MS, PLANES, BrokenTracker, Rig, masked


def test_frames_beyond_the_looks_a_second_are_never_asked_about_and_masked_as_passed_over() -> None:
    rig = Rig(looks_per_s=12.5)
    for seq in range(5):
        rig.frame(seq)
        if seq in rig.asked:
            rig.found(seq, *([FACE] if seq == 2 else []))
    assert rig.asked == [0, 2, 4]
    assert [reason for _, reason in rig.story()] == [None] * 5
    assert [masked(frame, (45, 40, 75, 70)) for frame in rig.out] == [False, True, True, True, True]


def test_while_the_detector_is_behind_newer_frames_take_the_place_of_the_one_that_waits() -> None:
    rig = Rig(looks_per_s=12.5)
    for seq in range(6):
        rig.frame(seq)
    assert rig.asked == [0, 2, 3, 4, 5]  # at 0, while 2 waits; then 3 in its place, and so on
    rig.found(0)
    rig.found(5)
    for seq in range(6, 9):
        rig.frame(seq)
        if seq in rig.asked:
            rig.found(seq)
    assert rig.asked[5:] == [6, 8]


def test_a_failure_is_an_answer_so_a_failing_detector_is_asked_no_more_often() -> None:
    rig = Rig(looks_per_s=12.5)
    for seq in range(9):
        rig.frame(seq)
        if seq in rig.asked:
            rig.failed(seq)
    assert rig.asked == [0, 2, 4, 6, 8]


def test_a_tracker_that_fails_does_not_make_the_detector_look_more_often() -> None:
    rig = Rig(looks_per_s=12.5, tracker=BrokenTracker)
    for seq in range(9):
        rig.frame(seq)
        if seq in rig.asked:
            rig.found(seq, FACE)
    assert rig.asked == [0, 2, 4, 6, 8]
    assert {reason for _, reason in rig.story()} == {Reason.POLICY_FAILED}


def test_between_two_looks_that_find_somebody_masks_are_hardly_wider_than_where_they_were_found() -> None:
    rig = Rig(looks_per_s=12.5)
    for seq in range(9):
        rig.frame(seq)
        if seq in rig.asked:
            rig.found(seq, FACE)
    regions = [frame.regions for frame in rig.out[3:]]  # looked at: 4, 6, 8
    widths = [region.box[2] - region.box[0] for (region,) in regions]
    assert max(widths) < 1.2 * min(widths)


def test_whom_the_next_look_does_not_find_is_found_by_sight_in_the_frame_passed_over_as_well() -> None:
    rig = Rig(looks_per_s=12.5)
    for seq in range(7):
        rig.frame(seq)
        if seq in rig.asked:
            rig.found(seq, *([FACE] if seq < 6 else []))
    ((passed_over,), (looked_at,)) = (frame.regions for frame in rig.out[5:])
    assert passed_over.box == pytest.approx(looked_at.box, abs=1)
    assert masked(rig.out[5], FACE)


@pytest.mark.parametrize("reason", [Reason.INFERENCE_FAILED, Reason.INVALID_OUTPUT])
def test_with_few_looks_a_failure_masks_the_frames_between_whole_too_until_the_next_success(reason: Reason) -> None:
    rig = Rig(looks_per_s=12.5)
    for seq in range(5):
        rig.frame(seq)
        if seq == 0:
            rig.found(seq, FACE)
        if seq == 2:
            rig.failed(seq, reason)
    rig.found(4, FACE)
    assert rig.asked == [0, 2, 4]
    assert rig.story() == [(0, None), (1, reason), (2, reason), (3, reason), (4, reason)]
    rig.frame(5)
    rig.frame(6)
    rig.found(6, FACE)
    assert rig.story()[5:] == [(5, None), (6, None)]


def test_with_few_looks_a_dead_detector_masks_every_frame_whole() -> None:
    rig = Rig(looks_per_s=12.5)
    rig.frame(0)
    rig.found(0, FACE)
    for seq in range(1, 30):
        rig.frame(seq)
        rig.wait(0.0)
    rig.wait(0.2)
    reasons = [reason for _, reason in rig.story()]
    assert len(reasons) == 30
    assert set(reasons[12:]) == {Reason.STALE}


REST_NS = 333 * MS
CALM_FRAMES = CALM_NS // (40 * MS)
STIRRED = Planes(PLANES.y.copy(), PLANES.u, PLANES.v)
STIRRED.y[60:84, 90:102] //= 2


class BrokenStillness(Stillness):
    def rests(self, luma: U8, pts_ns: int) -> bool:
        raise RuntimeError


def looks_of(rig: Rig, frames: range, *boxes: tuple[float, float, float, float]) -> list[int]:
    """Frames asked about while all of these show the same, of which each look finds the boxes."""
    before = len(rig.asked)
    for seq in frames:
        rig.frame(seq)
        if rig.asked[-1:] == [seq]:
            rig.found(seq, *boxes)
    return rig.asked[before:]


def at_rest(*boxes: tuple[float, float, float, float]) -> tuple[Rig, int]:
    """A core that looks at a view that has long been still; and the number of the next frame."""
    rig = Rig(looks_per_s=12.5, stillness=Stillness(REST_NS))
    looks_of(rig, range(CALM_FRAMES + 20), *boxes)
    return rig, CALM_FRAMES + 20


@pytest.mark.parametrize("boxes", [(), (FACE,)], ids=["nobody", "somebody who does not move"])
def test_a_view_that_has_long_been_still_is_looked_at_three_times_a_second(
    boxes: tuple[tuple[float, float, float, float], ...],
) -> None:
    rig, then = at_rest(*boxes)
    looks = looks_of(rig, range(then, then + 100), *boxes)
    assert set(np.diff(looks)) == {8}  # 320 ms
    assert rig.meter.counts["look_spared", "cam"] > 3 * len(looks) - 10
    assert {reason for _, reason in rig.story()} == {None}
    assert all(masked(frame, (45, 40, 75, 70)) == bool(boxes) for frame in rig.out[2:])


@pytest.mark.parametrize("after", range(5))
def test_the_first_frame_in_which_something_moves_is_looked_at_and_then_as_many_as_usual(after: int) -> None:
    rig, then = at_rest()
    while rig.asked[-1] != then - 1:  # right after a look
        looks_of(rig, range(then, then + 1))
        then += 1
    moves = then + after
    looks_of(rig, range(then, moves))
    rig.frame(moves, planes=STIRRED)
    assert rig.asked[-1] == moves
    rig.found(moves, FACE)
    looks = looks_of(rig, range(moves + 1, moves + 60), FACE)
    assert set(np.diff(looks)) == {2}


def flickering(every: int, score: float) -> Rig:
    """A core with a still view in which looks find a face now and then."""
    rig = Rig(looks_per_s=12.5, stillness=Stillness(REST_NS))
    for seq in range(2 * CALM_FRAMES):
        rig.frame(seq)
        if rig.asked[-1:] == [seq]:
            rig.found(seq, *([FACE] if seq % every < 2 else []), score=score)
    return rig


@pytest.mark.parametrize(("every", "score"), [(100, 0.4), (8, 0.2)], ids=["surely", "faintly but again and again"])
def test_somebody_whom_only_some_looks_find_gets_all_of_them(every: int, score: float) -> None:
    rig = flickering(every, score)
    assert set(np.diff(rig.asked)) == {2}
    assert not rig.meter.counts["look_spared", "cam"]


def test_what_is_seen_once_and_faintly_does_not_keep_a_view_from_resting() -> None:
    rig = flickering(100, 0.2)
    assert set(np.diff(rig.asked[-10:])) == {8}


@pytest.mark.parametrize(("boxes", "step"), [((), 8), ((FACE,), 2)], ids=["nobody", "somebody"])
def test_where_looks_decide_who_shows_a_view_rests_only_while_nobody_is_in_it(
    boxes: tuple[tuple[float, float, float, float], ...], step: int
) -> None:
    rig = Rig(looks_per_s=12.5, stillness=Stillness(REST_NS), rests_beside_people=False)
    looks = looks_of(rig, range(CALM_FRAMES + 60), *boxes)
    assert set(np.diff(looks[-5:])) == {step}


def finding(rig: Rig) -> None:
    rig.core.on_finding(AuditFinding("cam", 0, 0, Size(160, 120), (FACE,)))


def failing(rig: Rig) -> None:
    rig.failed(rig.asked[-1])


@pytest.mark.parametrize("trouble", [finding, failing])
def test_trouble_ends_the_rest_of_a_view_for_a_while(trouble: Callable[[Rig], None]) -> None:
    rig, then = at_rest()
    trouble(rig)
    looks = looks_of(rig, range(then, then + CALM_FRAMES + 60))
    steps = np.diff(looks).tolist()
    assert set(steps[: CALM_FRAMES // 2 - 10]) == {2}
    assert set(steps[-5:]) == {8}


def test_another_view_is_looked_at_as_often_as_usual_at_first() -> None:
    rig, then = at_rest()
    rig.frame(then, epoch=1)
    rig.found(then, epoch=1)
    before = len(rig.asked)
    for seq in range(then + 1, then + 100):
        rig.frame(seq, epoch=1)
        if rig.asked[-1] == seq:
            rig.found(seq, epoch=1)
    assert set(np.diff(rig.asked[before:])) == {2}


def test_a_view_that_cannot_be_compared_is_looked_at() -> None:
    rig = Rig(looks_per_s=12.5, stillness=BrokenStillness(REST_NS))
    assert set(np.diff(looks_of(rig, range(2 * CALM_FRAMES)))) == {2}
