"""Precision over recall and average precision, from matched detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anonymizer.evaluate.sample import Flags
from anonymizer.types import F32

RECALLS = np.linspace(0.0, 1.0, 101)  # where COCO samples the curve


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Whether the D detections of one picture are right; arrays by falling score."""

    scores: F32  # (D,)
    hit: Flags  # (D,) matches a truth that counts
    dropped: Flags  # (D,) counts neither as hit nor as false alarm
    truths: int  # number of truths that count


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision at each of RECALLS, never rising; empty if no truth counts."""

    precision: tuple[float, ...]

    @property
    def average_precision(self) -> float | None:
        """Mean over RECALLS, 0-1; None if no truth counts."""
        return float(np.mean(self.precision)) if self.precision else None


def make_curve(verdicts: Sequence[Verdicts]) -> Curve:
    """COCO's interpolated curve: the highest precision at this recall or any higher one."""
    truths = sum(each.truths for each in verdicts)
    if not truths:
        return Curve(())
    scores = np.concatenate([each.scores[~each.dropped] for each in verdicts])
    hit = np.concatenate([each.hit[~each.dropped] for each in verdicts])[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(hit)
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    at = np.searchsorted(hits / truths, RECALLS, side="left")
    return Curve(tuple(np.append(precision, 0.0)[np.minimum(at, len(hits))].tolist()))
