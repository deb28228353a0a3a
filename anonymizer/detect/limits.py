"""What counts as a detection: how sure a model must be, the less so the smaller somebody is in what it sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anonymizer.detect.families import Candidates
from anonymizer.types import Target

# Models are less sure of small people, and a mask of nobody hides little where it is small. Chosen on photographs and
# clips with the shipped models: docs/privacy-report.md and models/README.md tell what it brings.
FULL_PX = {Target.PERSON: 80.0, Target.FACE: 24.0}  # height in the model's picture that takes the whole threshold
LEAST_SHARE = {Target.PERSON: 0.4, Target.FACE: 0.667}  # of the threshold, enough for who is smaller by so much or more
FAINT_SHARE = 0.8  # of pictures without colour, in haze or dark in parts, where models score lower: fewer stay bare
KEEN_SHARE = 0.5  # the most of it that is needed in mode strict
_FULL_PX = np.array([FULL_PX[target] for target in Target], np.float32)
_LEAST_SHARE = np.array([LEAST_SHARE[target] for target in Target], np.float32)


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as a detection."""

    threshold: float  # least score, 0-1
    nms_iou: float  # of two boxes of one class that overlap more, the better one stays
    max_detections: int  # of one class in one frame; with more, the frame is not to be trusted
    is_flat: bool = False  # the threshold is that of small ones as well

    def floor(self, *, is_faint: bool, is_keen: bool) -> float:
        """The least score at which anything can count: what a decoder must report."""
        shares = (1.0,) if self.is_flat else tuple(LEAST_SHARE.values())
        return min(*shares, KEEN_SHARE if is_keen else 1.0) * self._whole(is_faint=is_faint)

    def counted(self, found: Candidates, *, is_faint: bool, is_keen: bool) -> Candidates:
        """Those whose score is enough for their height."""
        share = np.ones(len(found.boxes), np.float32)
        if not self.is_flat:
            height = found.boxes[:, 3] - found.boxes[:, 1]
            share = np.clip(height / _FULL_PX[found.class_ids], _LEAST_SHARE[found.class_ids], 1)
        least = np.minimum(share, KEEN_SHARE if is_keen else 1) * self._whole(is_faint=is_faint)
        is_enough = found.scores >= least
        return Candidates(found.boxes[is_enough], found.scores[is_enough], found.class_ids[is_enough])

    def _whole(self, *, is_faint: bool) -> float:
        return self.threshold * (FAINT_SHARE if is_faint else 1.0)
