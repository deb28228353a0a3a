"""Of most frames the detector is never asked: which ones, and how those in between are masked."""

from __future__ import annotations

import pytest

from anonymizer.types import Reason
from tests.camera_rig import FACE, BrokenTracker, Rig, masked


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
