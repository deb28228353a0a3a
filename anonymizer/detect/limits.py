"""Which scores are enough for a detection: the threshold, lowered for small people, near faces and faint pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anonymizer.detect.families import Candidates
from anonymizer.types import Target

# Models score small people lower, and a small false alarm hides little of the picture. The figures were chosen on
# photographs and clips with the shipped models: docs/privacy-report.md and models/README.md tell what they bring.
FULL_PX = {Target.PERSON: 80.0, Target.FACE: 24.0}  # height in input pixels from which the whole threshold is needed
LEAST_SHARE = {Target.PERSON: 0.4, Target.FACE: 0.667}  # of the threshold: what is needed falls with height, to this
NEAR_SIDE = 0.55  # of the shorter side of what the model sees: a face so high is near, often cut off or blurred
FAINT_SHARE = 0.8  # of the threshold, in pictures without colour, in haze or dark in parts: models score lower there
STRICT_SHARE = 0.5  # of the threshold: at most so much is needed in mode strict
_FULL_PX = np.array([FULL_PX[target] for target in Target], np.float32)
_LEAST_SHARE = np.array([LEAST_SHARE[target] for target in Target], np.float32)


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as a detection of one model."""

    threshold: float  # score of a detection of full height in a clear picture, 0-1
    nms_iou: float  # of two boxes of one class that overlap more, the one with the higher score stays
    max_detections: int  # of one class in one frame; with more, the model's output is taken for invalid
    is_flat: bool = False  # the threshold is the same at every height
    near_share: float = 1.0  # of the threshold, for faces that are near: less if the model takes little else for one

    def floor(self, *, is_faint: bool, is_strict: bool) -> float:
        """The lowest score that can count at any height: what a decoder must report."""
        shares = (1.0,) if self.is_flat else (*LEAST_SHARE.values(), self.near_share)
        return min(*shares, STRICT_SHARE if is_strict else 1.0) * self._whole(is_faint=is_faint)

    def counted(self, found: Candidates, *, is_faint: bool, is_strict: bool, near_px: float = math.inf) -> Candidates:
        """The candidates, boxes in input pixels, whose score is enough for their height.

        `near_px`: height from which faces are near; in tiles none is, for the whole picture is looked at as well.
        """
        share = np.ones(len(found.boxes), np.float32)
        if not self.is_flat:
            height = found.boxes[:, 3] - found.boxes[:, 1]
            share = np.clip(height / _FULL_PX[found.class_ids], _LEAST_SHARE[found.class_ids], 1)
            share[(height >= near_px) & (found.class_ids == Target.FACE)] = self.near_share
        needed = np.minimum(share, STRICT_SHARE if is_strict else 1) * self._whole(is_faint=is_faint)
        is_enough = found.scores >= needed
        return Candidates(found.boxes[is_enough], found.scores[is_enough], found.class_ids[is_enough])

    def _whole(self, *, is_faint: bool) -> float:
        return self.threshold * (FAINT_SHARE if is_faint else 1.0)
