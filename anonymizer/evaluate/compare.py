"""The difference between two detectors on the same pictures, with its confidence interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from anonymizer.evaluate.precision import RECALLS
from anonymizer.evaluate.sample import Flags
from anonymizer.evaluate.scores import ALL, BINS, HeightBin, are_of, verdicts
from anonymizer.evaluate.trial import Trial

CONFIDENCE = 0.95
RESAMPLES = 1000

Counts = NDArray[np.int64]  # (P,) how often each of P pictures is drawn in a resampling, or (R, P) for R of them
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference of shares, -1 to 1, and the range that CONFIDENCE of all resamplings lie in."""

    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.difference:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences for labels of these heights; None where there are no labels or no detections."""

    heights: HeightBin
    average_precision: Interval | None
    leak: Interval | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of a detector minus those of the one that it is compared with."""

    name: str
    reference: str
    resamples: int
    seed: int
    overall: Difference
    bins: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Contender:
    """A detector, or another tool, and what it made of each picture."""

    name: str
    threshold: float | None  # None: there are no detections, only masks
    trials: tuple[Trial, ...]


def compare(contender: Contender, reference: Contender, *, resamples: int, seed: int) -> Comparison:
    """Compare two contenders that tried the same pictures in the same order; the same seed draws the same resamplings.

    Paired bootstrap (Efron 1979): each resampling draws as many pictures as there are, with replacement, and judges
    both detectors on them. Pictures are drawn rather than labels, because labels in one picture are not independent.
    """
    count = len(reference.trials)
    picks = np.random.default_rng(seed).integers(max(count, 1), size=(resamples, count))
    draws = np.stack([np.bincount(row, minlength=count) for row in picks])
    overall, *bins = (_difference(contender, reference, heights, draws) for heights in (ALL, *BINS))
    return Comparison(contender.name, reference.name, resamples, seed, overall, tuple(bins))


def _difference(contender: Contender, reference: Contender, heights: HeightBin, draws: Counts) -> Difference:
    first, second = (_Pool.of(each.trials, heights) for each in (contender, reference))
    has_curves = contender.threshold is not None and reference.threshold is not None
    return Difference(
        heights=heights,
        average_precision=_interval(_Pool.average_precision, first, second, draws) if has_curves else None,
        leak=_interval(_Pool.leak, first, second, draws),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """All D detections of one detector in P pictures, by falling score."""

    picture: NDArray[np.intp]  # (D,)
    hit: Flags  # (D,)
    truths: Counts  # (P,)
    bare: Counts  # (P,)

    @classmethod
    def of(cls, trials: Sequence[Trial], heights: HeightBin) -> Self:
        """The pool of verdicts for labels of these heights."""
        found = [verdicts(trial, heights) for trial in trials]
        picture = np.repeat(np.arange(len(found)), [int((~each.dropped).sum()) for each in found])
        scores = np.concatenate([np.empty(0, np.float32), *(each.scores[~each.dropped] for each in found)])
        hit = np.concatenate([np.empty(0, np.bool_), *(each.hit[~each.dropped] for each in found)])
        order = np.argsort(-scores, kind="stable")
        bare = [int((trial.bare & ~trial.ignored & are_of(trial.boxes, heights)).sum()) for trial in trials]
        truths = [each.truths for each in found]
        return cls(picture[order], hit[order], np.array(truths, np.int64), np.array(bare, np.int64))

    def average_precision(self, draws: Counts) -> Shares:
        """Average precision (R,), as by `make_curve`, of each draw (R, P); every draw has truths."""
        return np.array([self._average_precision(counts) for counts in draws])

    def _average_precision(self, counts: Counts) -> float:
        weight = counts[self.picture]
        hits = np.cumsum(weight * self.hit)
        precision = np.maximum.accumulate((hits / np.maximum(np.cumsum(weight), 1))[::-1])[::-1]
        at = np.searchsorted(hits / (counts @ self.truths), RECALLS, side="left")
        return float(np.append(precision, 0.0)[np.minimum(at, len(hits))].mean())

    def leak(self, draws: Counts) -> Shares:
        """Leak (R,) of each draw (R, P); every draw has truths."""
        return (draws @ self.bare) / (draws @ self.truths)


def _interval(
    measure: Callable[[_Pool, Counts], Shares], first: _Pool, second: _Pool, draws: Counts
) -> Interval | None:
    if not first.truths.sum():
        return None
    drawn = draws[draws @ first.truths > 0]
    whole = np.ones((1, len(first.truths)), np.int64)
    difference, found = (measure(first, each) - measure(second, each) for each in (whole, drawn))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail]).tolist() if len(found) else (-1.0, 1.0)  # nothing known
    return Interval(float(difference[0]), low, high)
