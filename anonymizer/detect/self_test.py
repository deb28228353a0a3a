"""Proves a loaded model on one picture whose answer is known: some processors and runtimes compute int8 wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymizer.detect.families import Candidates
from anonymizer.errors import ModelError
from anonymizer.geometry import iou_matrix
from anonymizer.stills import BT601, planes_of
from anonymizer.types import F32, Box, Colour, Planes, Size, Target


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a model must find best of all in a picture."""

    picture: Path
    target: Target
    box: Box  # x1 y1 x2 y2 as fractions of the picture
    min_iou: float
    min_score: float

    def truth(self, size: Size) -> F32:
        """The box (1, 4) in pixels."""
        return np.array([self.box], np.float32) * np.array([size.width, size.height] * 2, np.float32)

    def judge(self, model: str, found: Candidates, size: Size) -> None:
        """Raises ModelError unless the best candidate of the target, in pixels of the picture, is the promised one."""
        mine = found.class_ids == self.target
        scores, boxes = found.scores[mine], found.boxes[mine]
        who = f"the {self.target.name.lower()} in {self.picture.name}"
        remedy = (
            "this processor or runtime computes it wrongly; try its float32 file, another delegate or another runtime"
        )
        if not len(scores) or scores.max() < self.min_score:
            raise ModelError(f"model {model} does not find {who} with a score of {self.min_score:g}: {remedy}")
        overlap = float(iou_matrix(boxes[[scores.argmax()]], self.truth(size)).item())
        if overlap < self.min_iou:
            raise ModelError(
                f"model {model} finds {who} elsewhere (overlap {overlap:.2f}, {self.min_iou:g} promised): {remedy}"
            )


def read_picture(path: Path) -> tuple[Planes, Colour]:
    """A picture file of the program as a camera would send it; raises ModelError."""
    bgr = cv2.imread(str(path))
    if bgr is None:
        raise ModelError(f"cannot read the test picture {path}: install the package again")
    return planes_of(np.asarray(bgr, np.uint8)), BT601
