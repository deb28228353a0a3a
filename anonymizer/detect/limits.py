"""Which scores are enough for a detection: the threshold, lowered for small and near people and faint pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anonymizer.detect.families import Candidates
from anonymizer.types import Size, Target

# Models score small people lower, and a small false alarm hides little of the picture. The figures were chosen on
# photographs and clips with the shipped models: docs/privacy-report.md and models/README.md tell what they bring.
FULL_PX = {Target.PERSON: 80.0, Target.FACE: 24.0}  # height in input pixels from which the whole threshold is needed
LEAST_SHARE = {Target.PERSON: 0.4, Target.FACE: 0.667}  # of the threshold: what is needed falls with height, to this
NEAR_SIDE = {Target.PERSON: 0.7, Target.FACE: 0.4}  # of the shorter side of the picture: who is so high is near
FAINT_SHARE = 0.8  # of the threshold, in pictures without colour, in haze or dark in parts: models score lower there
STRICT_SHARE = 0.5  # of the threshold: at most so much is needed in mode strict
_FULL_PX = np.array([FULL_PX[target] for target in Target], np.float32)
_NEAR_SIDE = np.array([NEAR_SIDE[target] for target in Target], np.float32)
_LEAST_SHARE = np.array([LEAST_SHARE[target] for target in Target], np.float32)


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as a detection of one model."""

    threshold: float  # score of a detection of full height in a clear picture, 0-1
    nms_iou: float  # of two boxes of one class that overlap more, the one with the higher score stays
    max_detections: int  # of one class in one frame; with more, the model's output is taken for invalid
    is_flat: bool = False  # the threshold is the same at every height
    near_share: float | None = (
        None  # of the threshold, for who is near and seen in the small picture; None: there is none
    )

    def floor(self, *, is_faint: bool, is_strict: bool) -> float:
        """The lowest score that can count at any height: what a decoder must report."""
        shares = (1.0,) if self.is_flat else LEAST_SHARE.values()
        return min(*shares, STRICT_SHARE if is_strict else 1.0) * self._whole(is_faint=is_faint)

    def counted(self, found: Candidates, *, is_faint: bool, is_strict: bool) -> Candidates:
        """The candidates, boxes in input pixels, whose score is enough for their height."""
        share = np.ones(len(found.boxes), np.float32)
        if not self.is_flat:
            height = found.boxes[:, 3] - found.boxes[:, 1]
            share = np.clip(height / _FULL_PX[found.class_ids], _LEAST_SHARE[found.class_ids], 1)
        needed = np.minimum(share, STRICT_SHARE if is_strict else 1) * self._whole(is_faint=is_faint)
        return found.take(found.scores >= needed)

    def near_floor(self, *, is_faint: bool, is_strict: bool) -> float:
        """The score that counts in the small picture."""
        share = 1.0 if self.is_flat or self.near_share is None else self.near_share
        return min(share, STRICT_SHARE if is_strict else 1.0) * self._whole(is_faint=is_faint)

    def near(self, found: Candidates, picture: Size) -> Candidates:
        """Those of the small picture's candidates who are near, boxes in pixels of a picture of that size."""
        height = found.boxes[:, 3] - found.boxes[:, 1]
        return found.take(height >= _NEAR_SIDE[found.class_ids] * min(picture.width, picture.height))

    def _whole(self, *, is_faint: bool) -> float:
        return self.threshold * (FAINT_SHARE if is_faint else 1.0)
