"""Sums up the trials of all pictures: how many labels are found and how many stay bare, by height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anonymizer.evaluate.matching import NOBODY, Truth, match
from anonymizer.evaluate.precision import Curve, Verdicts, make_curve
from anonymizer.evaluate.sample import Flags
from anonymizer.evaluate.trial import Trial
from anonymizer.types import F32, Target


@dataclass(frozen=True, slots=True)
class HeightBin:
    """A range of box heights in pixels of the picture."""

    least_px: float
    below_px: float

    def __str__(self) -> str:
        return f"{self.least_px:g}+" if math.isinf(self.below_px) else f"{self.least_px:g}-{self.below_px:g}"


ALL = HeightBin(10, math.inf)  # smaller labels are neither hit nor miss
BINS = (HeightBin(10, 16), HeightBin(16, 32), HeightBin(32, 64), HeightBin(64, math.inf))


@dataclass(frozen=True, slots=True)
class BinScore:
    """The figures of one height bin; shares are 0-1, None without truths or detections."""

    heights: HeightBin
    truths: int  # number of labels that count
    curve: Curve  # at IoU 0.5
    recall: float | None  # by the detections that are masked
    leak: float | None  # share of labels of which masks cover too little
    head_leak: float | None  # the same for the heads of persons

    @property
    def average_precision(self) -> float | None:
        """Average precision of the curve."""
        return self.curve.average_precision


@dataclass(frozen=True, slots=True)
class Scores:
    """One detector, or other tool, on one data set."""

    name: str
    target: Target
    threshold: float | None
    pictures: int
    overall: BinScore
    bins: tuple[BinScore, ...]
    over_mask: float | None  # mean over the pictures
    cpu_ms: float | None  # of the detector, mean over the pictures


def sum_up(name: str, target: Target, trials: Sequence[Trial], threshold: float | None) -> Scores:
    """The scores of one detector's trials; `threshold` None: there are no detections, only masks."""
    spent_ns = sum(trial.cpu_ns for trial in trials)
    return Scores(
        name=name,
        target=target,
        threshold=threshold,
        pictures=len(trials),
        overall=_bin_score(trials, ALL, target, threshold),
        bins=tuple(_bin_score(trials, heights, target, threshold) for heights in BINS),
        over_mask=float(np.mean([trial.over_mask for trial in trials])) if trials else None,
        cpu_ms=spent_ns / 1e6 / len(trials) if spent_ns else None,
    )


def verdicts(trial: Trial, heights: HeightBin) -> Verdicts:
    """The verdicts for labels of these heights.

    As in COCO, labels of other heights are left out, and so are detections of other heights that match nothing.
    """
    left_out = trial.ignored | ~are_of(trial.boxes, heights)
    hit, is_taken = _hits(trial.found, trial, left_out)
    return Verdicts(trial.scores, hit, np.where(is_taken, ~hit, ~are_of(trial.found, heights)), int((~left_out).sum()))


def _hits(boxes: F32, trial: Trial, left_out: Flags) -> tuple[Flags, Flags]:
    """Which boxes (D, 4) match a label that counts, and which match any label: (D,) each."""
    taken = match(boxes, Truth(trial.boxes, left_out, absorbs=trial.ignored, crowd=trial.crowd))
    is_taken = taken != NOBODY
    hit = is_taken.copy()
    hit[is_taken] = ~left_out[taken[is_taken]]
    return hit, is_taken


def are_of(boxes: F32, heights: HeightBin) -> Flags:
    """Which boxes (N, 4) have such a height: (N,)."""
    height = boxes[:, 3] - boxes[:, 1]
    return (height >= heights.least_px) & (height < heights.below_px)


def _bin_score(trials: Sequence[Trial], heights: HeightBin, target: Target, threshold: float | None) -> BinScore:
    found = [verdicts(trial, heights) for trial in trials]
    truths = sum(each.truths for each in found)
    counts = [~trial.ignored & are_of(trial.boxes, heights) for trial in trials]
    hits = [_hits(trial.counted, trial, ~count)[0].sum() for trial, count in zip(trials, counts, strict=True)]
    bare = sum(int(trial.bare[count].sum()) for trial, count in zip(trials, counts, strict=True))
    bare_heads = sum(int(trial.bare_head[count].sum()) for trial, count in zip(trials, counts, strict=True))
    return BinScore(
        heights=heights,
        truths=truths,
        curve=make_curve(found) if threshold is not None else Curve(()),
        recall=int(sum(hits)) / truths if truths and threshold is not None else None,
        leak=bare / truths if truths else None,
        head_leak=bare_heads / truths if truths and target is Target.PERSON else None,
    )
