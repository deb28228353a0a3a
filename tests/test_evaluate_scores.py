"""Rules of matching, precision and recall; the reference is pycocotools."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anonymizer.evaluate.matching import NOBODY, Truth, match
from anonymizer.evaluate.precision import Verdicts, make_curve
from anonymizer.evaluate.scores import ALL, BINS, HeightBin, sum_up, verdicts
from anonymizer.evaluate.trial import Trial
from anonymizer.types import Target


def boxes_of(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.asarray(rows, np.float32).reshape(-1, 4)


def make_trial(
    boxes: np.ndarray,
    found: np.ndarray,
    scores: np.ndarray,
    *,
    counted: np.ndarray | None = None,
    ignored: np.ndarray | None = None,
    crowd: np.ndarray | None = None,
    bare: np.ndarray | None = None,
    cpu_ns: int = 0,
    over_mask: float = 0.0,
) -> Trial:
    no = np.zeros(len(boxes), np.bool_)
    crowd = no if crowd is None else crowd
    return Trial(
        boxes=boxes,
        ignored=crowd if ignored is None else ignored | crowd,
        crowd=crowd,
        bare=no if bare is None else bare,
        bare_head=no if bare is None else bare,
        over_mask=over_mask,
        found=found,
        scores=np.asarray(scores, np.float32),
        counted=found if counted is None else counted,
        cpu_ns=cpu_ns,
    )


def truth_of(boxes: np.ndarray, *, ignored: list[bool] | None = None, crowd: list[bool] | None = None) -> Truth:
    is_crowd = np.array(crowd or [False] * len(boxes), np.bool_)
    is_ignored = np.array(ignored or [False] * len(boxes), np.bool_) | is_crowd
    return Truth(boxes, is_ignored, is_ignored, is_crowd)


# --- matching ---------------------------------------------------------------------------------------------------


def test_nothing_matches_nothing() -> None:
    empty = boxes_of()
    one = boxes_of((0, 0, 9, 9))
    assert match(empty, truth_of(empty)).tolist() == []
    assert match(empty, truth_of(one)).tolist() == []
    assert match(one, truth_of(empty)).tolist() == [NOBODY]


def test_a_truth_is_taken_once_by_the_better_score() -> None:
    found = boxes_of((0, 0, 10, 10), (0, 0, 10, 11))
    assert match(found, truth_of(boxes_of((0, 0, 10, 10)))).tolist() == [0, NOBODY]


def test_of_two_truths_the_nearer_one_is_taken() -> None:
    truths = boxes_of((0, 0, 10, 10), (0, 2, 10, 12))
    assert match(boxes_of((0, 2, 10, 12)), truth_of(truths)).tolist() == [1]


def test_an_overlap_of_exactly_half_is_enough() -> None:
    assert match(boxes_of((0, 0, 10, 5)), truth_of(boxes_of((0, 0, 10, 10)))).tolist() == [0]


def test_a_truth_that_counts_is_taken_before_a_nearer_ignored_one() -> None:
    truths = boxes_of((0, 0, 10, 10), (0, 0, 10, 7))
    assert match(boxes_of((0, 0, 10, 10)), truth_of(truths, ignored=[True, False])).tolist() == [1]


def test_what_the_data_set_ignores_takes_any_number_of_detections() -> None:
    found = boxes_of((0, 0, 10, 10), (0, 0, 10, 11), (0, 1, 10, 10))
    assert match(found, truth_of(boxes_of((0, 0, 10, 10)), ignored=[True])).tolist() == [0, 0, 0]


def test_a_crowd_takes_what_lies_in_it_however_small() -> None:
    found = boxes_of((10, 10, 14, 14), (98, 10, 108, 20))
    assert match(found, truth_of(boxes_of((0, 0, 100, 100)), crowd=[True])).tolist() == [0, NOBODY]


# --- precision and recall ---------------------------------------------------------------------------------------


def test_without_truths_there_is_no_average_precision_and_no_recall() -> None:
    trial = make_trial(boxes_of(), boxes_of((0, 0, 20, 20)), np.array([0.9]))
    found = [verdicts(trial, ALL)]
    assert make_curve(found).average_precision is None
    assert sum_up("toy", Target.FACE, [trial], 0.5).overall.recall is None
    assert make_curve([]).average_precision is None


def test_without_detections_average_precision_is_zero() -> None:
    scores = sum_up("toy", Target.FACE, [make_trial(boxes_of((0, 0, 20, 20)), boxes_of(), np.empty(0))], 0.5)
    assert (scores.overall.average_precision, scores.overall.recall) == (0.0, 0.0)


def test_perfect_detections_have_an_average_precision_of_one() -> None:
    truths = boxes_of((0, 0, 20, 20), (50, 50, 90, 90))
    found = [verdicts(make_trial(truths, truths, np.array([0.9, 0.3])), ALL)]
    assert make_curve(found).average_precision == 1.0


def test_recall_is_that_of_what_is_masked_not_of_all_that_the_curve_knows() -> None:
    truths = boxes_of((0, 0, 20, 20), (50, 50, 90, 90))
    trial = make_trial(truths, truths, np.array([0.9, 0.3]), counted=truths[1:])
    scores = sum_up("toy", Target.FACE, [trial], 0.5)
    assert [each.recall for each in (scores.overall, *scores.bins)] == [0.5, None, 0.0, 1.0, None]


def test_a_detection_of_another_height_that_matches_nothing_is_no_false_alarm() -> None:
    found = boxes_of((0, 0, 20, 20), (200, 200, 205, 205))
    judged = verdicts(make_trial(boxes_of((0, 0, 20, 20)), found, np.array([0.5, 0.9])), HeightBin(16, 32))
    assert judged.dropped.tolist() == [False, True]
    assert judged.hit.tolist() == [True, False]


def test_dropped_detections_do_not_lower_the_precision() -> None:
    judged = Verdicts(np.array([0.9, 0.8], np.float32), np.array([False, True]), np.array([True, False]), 1)
    assert make_curve([judged]).average_precision == 1.0


# --- against pycocotools ----------------------------------------------------------------------------------------


def random_trials(seed: int, pictures: int) -> list[Trial]:
    """Labels with crowds, and detections near some of them, elsewhere, twice, and with equal scores."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(pictures):
        count, strays = int(rng.integers(0, 9)), int(rng.integers(0, 6))
        corner, side = rng.uniform(0, 300, (count, 2)), rng.uniform(6, 90, (count, 2))
        truths = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
        crowd = rng.random(count) < 0.2
        near = np.repeat(truths, rng.integers(0, 3, count), axis=0)
        near = near + rng.normal(0, 3, near.shape).astype(np.float32)
        corner, side = rng.uniform(0, 300, (strays, 2)), rng.uniform(6, 90, (strays, 2))
        found = np.concatenate([near, np.concatenate([corner, corner + side], axis=1)]).astype(np.float32)
        found = found[((found[:, 2:] - found[:, :2]) > 1).all(axis=1)]
        scores = rng.uniform(0.05, 1, len(found)).round(1)
        order = np.argsort(-scores, kind="stable")
        trials.append(make_trial(truths, found[order], scores[order], crowd=crowd))
    return trials


def xywh(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = box.astype(float)
    return [x1, y1, x2 - x1, y2 - y1]


def reference_average_precision(trials: list[Trial], heights: HeightBin) -> float:
    """COCO's AP at IoU 0.5, with heights in the place of areas."""
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for at, trial in enumerate(trials):
        for box, crowd in zip(trial.boxes, trial.crowd.tolist(), strict=True):
            number = len(truths) + 1
            bbox = xywh(box)
            truths.append(
                {"id": number, "image_id": at, "category_id": 1, "bbox": bbox, "area": bbox[3], "iscrowd": int(crowd)}
            )
        for box, score in zip(trial.found, trial.scores.tolist(), strict=True):
            results.append({"image_id": at, "category_id": 1, "bbox": xywh(box), "score": score})
    ground = COCO()
    ground.dataset = {
        "info": {},
        "images": [{"id": at} for at in range(len(trials))],
        "annotations": truths,
        "categories": [{"id": 1, "name": "person"}],
    }
    ground.createIndex()
    found = ground.loadRes(results)
    for each in found.dataset["annotations"]:
        each["area"] = each["bbox"][3]
    judge = COCOeval(ground, found, "bbox")
    judge.params.iouThrs = np.array([0.5])
    judge.params.maxDets = [10_000]
    # COCO's ranges include both ends, ours the lower one only.
    judge.params.areaRng = [[heights.least_px, np.nextafter(min(heights.below_px, 1e5), 0)]]
    judge.params.areaRngLbl = ["all"]
    judge.evaluate()
    judge.accumulate()
    return float(judge.eval["precision"].mean())


@pytest.mark.parametrize("heights", [ALL, *BINS], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_pycocotools(seed: int, heights: HeightBin) -> None:
    trials = random_trials(seed, pictures=30)
    ours = make_curve([verdicts(trial, heights) for trial in trials]).average_precision
    assert ours == pytest.approx(reference_average_precision(trials, heights), abs=1e-6)


# --- summing up -------------------------------------------------------------------------------------------------


def test_heights_are_in_exactly_one_bin() -> None:
    assert [str(heights) for heights in BINS] == ["10-16", "16-32", "32-64", "64+"]
    assert [heights.least_px for heights in BINS[1:]] == [heights.below_px for heights in BINS[:-1]]
    assert (BINS[0].least_px, BINS[-1].below_px) == (ALL.least_px, ALL.below_px) == (10, math.inf)


def test_leak_counts_by_height_and_not_what_is_ignored() -> None:
    truths = boxes_of((0, 0, 20, 20), (0, 0, 20, 24), (0, 0, 90, 90), (0, 0, 50, 50))
    trial = make_trial(
        truths,
        boxes_of(),
        np.empty(0),
        ignored=np.array([False, False, False, True]),
        bare=np.array([True, False, False, True]),
    )
    scores = sum_up("x", Target.PERSON, [trial], 0.3)
    assert scores.overall.leak == scores.overall.head_leak == pytest.approx(1 / 3)
    assert [each.leak for each in scores.bins] == [None, 0.5, None, 0.0]
    assert [each.truths for each in scores.bins] == [0, 2, 0, 1]


def test_faces_have_no_head_leak() -> None:
    trial = make_trial(boxes_of((0, 0, 20, 20)), boxes_of(), np.empty(0))
    assert sum_up("x", Target.FACE, [trial], 0.3).overall.head_leak is None


def test_over_mask_and_time_are_means_over_the_pictures() -> None:
    trials = [
        make_trial(boxes_of(), boxes_of(), np.empty(0), cpu_ns=2_000_000, over_mask=0.1),
        make_trial(boxes_of(), boxes_of(), np.empty(0), cpu_ns=4_000_000, over_mask=0.3),
    ]
    scores = sum_up("x", Target.FACE, trials, 0.3)
    assert scores.over_mask == pytest.approx(0.2)
    assert scores.cpu_ms == pytest.approx(3.0)


def test_no_pictures_give_no_figures() -> None:
    scores = sum_up("x", Target.FACE, [], 0.3)
    assert (scores.pictures, scores.over_mask, scores.cpu_ms, scores.overall.leak) == (0, None, None, None)


def test_masks_alone_have_no_precision() -> None:
    scores = sum_up("x", Target.FACE, [make_trial(boxes_of((0, 0, 20, 20)), boxes_of(), np.empty(0))], None)
    assert scores.overall.average_precision is None
    assert scores.overall.recall is None
    assert scores.overall.leak == 0.0
