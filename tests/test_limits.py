"""How sure a model must be of somebody, by height, light and mode."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.detect.families import Candidates
from anonymizer.detect.limits import FAINT_SHARE, FULL_PX, LEAST_SHARE, NEAR_SIDE, STRICT_SHARE, Limits
from anonymizer.types import Size, Target

LIMITS = Limits(threshold=0.3, nms_iou=0.4, max_detections=100)
FLAT = Limits(threshold=0.3, nms_iou=0.4, max_detections=100, is_flat=True)
NEAR = Limits(threshold=0.3, nms_iou=0.4, max_detections=100, near_share=0.8)


def seen(target: Target, *rows: tuple[float, float]) -> Candidates:
    """Boxes of these heights and scores, side by side."""
    boxes = np.array([(9.0 * at, 5.0, 9.0 * at + 8, 5 + height) for at, (height, _) in enumerate(rows)], np.float32)
    scores = np.array([score for _, score in rows], np.float32)
    return Candidates(boxes.reshape(-1, 4), scores, np.full(len(rows), target, np.int32))


def needed(limits: Limits, target: Target, height: float, *, is_faint: bool = False, is_strict: bool = False) -> float:
    """The least of a thousand scores that counts."""
    rows = [(height, score) for score in np.arange(1, 1001) / 1000]
    found = seen(target, *rows)
    return float(limits.counted(found, is_faint=is_faint, is_strict=is_strict).scores.min())


def test_nobody_seen_is_nobody_counted() -> None:
    assert len(LIMITS.counted(seen(Target.FACE), is_faint=False, is_strict=False).boxes) == 0


@pytest.mark.parametrize("target", Target)
def test_who_is_small_needs_less_and_who_is_large_needs_the_threshold(target: Target) -> None:
    full, least = FULL_PX[target], LEAST_SHARE[target]
    heights = (1.0, least * full, (least + 1) / 2 * full, full, 10 * full)
    assert [needed(LIMITS, target, height) for height in heights] == pytest.approx(
        [0.3 * least, 0.3 * least, 0.3 * (least + 1) / 2, 0.3, 0.3], abs=0.002
    )


def test_in_the_small_picture_a_share_of_the_threshold_is_enough_and_in_mode_strict_half_of_it_at_most() -> None:
    modes = itertools.product((False, True), repeat=2)
    floors = [NEAR.near_floor(is_faint=is_faint, is_strict=is_strict) for is_faint, is_strict in modes]
    assert floors == pytest.approx([0.24, 0.15, 0.24 * FAINT_SHARE, 0.15 * FAINT_SHARE])


@pytest.mark.parametrize("limits", [LIMITS, replace(NEAR, is_flat=True)])
def test_where_nothing_else_is_said_or_all_is_flat_the_small_picture_needs_the_threshold(limits: Limits) -> None:
    assert limits.near_floor(is_faint=False, is_strict=False) == pytest.approx(0.3)


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("picture", [Size(100, 200), Size(200, 100)])
def test_near_is_who_fills_a_share_of_the_shorter_side(target: Target, picture: Size) -> None:
    share_px = 100 * NEAR_SIDE[target]
    found = seen(target, (share_px - 1, 0.9), (share_px + 1, 0.2), (500, 0.1))
    assert NEAR.near(found, picture).scores.tolist() == pytest.approx([0.2, 0.1])
    assert len(NEAR.near(seen(target), picture).boxes) == 0


def test_flat_limits_need_the_threshold_of_everybody() -> None:
    assert [needed(FLAT, target, height) for target in Target for height in (1.0, 500.0)] == pytest.approx([0.3] * 4)


def test_a_box_inside_out_needs_the_least() -> None:
    assert needed(LIMITS, Target.FACE, -7.0) == needed(LIMITS, Target.FACE, 1.0)


@pytest.mark.parametrize("target", Target)
def test_in_mode_strict_half_is_enough_for_everybody_and_no_more_is_needed_of_small_ones(target: Target) -> None:
    assert needed(LIMITS, target, 500.0, is_strict=True) == pytest.approx(0.3 * STRICT_SHARE, abs=0.002)
    assert needed(LIMITS, target, 1.0, is_strict=True) == pytest.approx(
        0.3 * min(STRICT_SHARE, LEAST_SHARE[target]), abs=0.002
    )


def test_in_a_faint_picture_less_is_enough_at_every_height() -> None:
    for target, height, is_strict in itertools.product(Target, (1.0, 500.0), (True, False)):
        clear = needed(LIMITS, target, height, is_strict=is_strict)
        assert needed(LIMITS, target, height, is_faint=True, is_strict=is_strict) == pytest.approx(
            FAINT_SHARE * clear, abs=0.002
        )


@given(
    st.sampled_from(Target), st.floats(-50, 500), st.floats(0, 1, width=32), st.booleans(), st.booleans(),
    st.sampled_from((LIMITS, FLAT, NEAR)),
)  # fmt: skip
def test_nothing_counts_that_a_decoder_would_not_report(
    target: Target, height: float, score: float, is_faint: bool, is_strict: bool, limits: Limits
) -> None:
    counted = limits.counted(seen(target, (height, score)), is_faint=is_faint, is_strict=is_strict)
    assert (counted.scores >= np.float32(limits.floor(is_faint=is_faint, is_strict=is_strict)) - 1e-6).all()


def test_boxes_scores_and_classes_stay_together() -> None:
    both = Candidates(
        np.array([(0, 0, 9, 10), (0, 0, 9, 10), (0, 0, 40, 100)], np.float32), np.array([0.21, 0.13, 0.29], np.float32),
        np.array([Target.FACE, Target.PERSON, Target.PERSON], np.int32),
    )  # fmt: skip
    counted = LIMITS.counted(both, is_faint=False, is_strict=False)
    assert counted.class_ids.tolist() == [Target.FACE, Target.PERSON]
    assert counted.scores.tolist() == pytest.approx([0.21, 0.13])
    assert counted.boxes.tolist() == [[0, 0, 9, 10], [0, 0, 9, 10]]
