"""Models that end in TFLite_Detection_PostProcess, as Coral's and the TensorFlow zoos' do: four outputs, NMS inside."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from anonymizer.detect.families.family import (
    Candidates,
    ClassIds,
    Columns,
    Shapes,
    probabilities,
    shapes_error,
    shapes_of,
    tensor,
)
from anonymizer.errors import InvalidOutputError
from anonymizer.types import F32, Size

MOST_CLASSES = 256  # more than any label map has; the outputs do not tell how many there are


class TfliteDetectionPostprocess:
    """Outputs boxes (1, N, 4) y1, x1, y2, x2 as fractions, classes and scores (1, N), count (1,).

    Their names end in numbers: TensorFlow 1 counts boxes, classes, scores, count; TensorFlow 2 the other way round.
    A class is a column number: 0 for the first of the label map.
    """

    def __init__(self, size: Size, class_ids: ClassIds) -> None:
        self._sides = np.array([size.width, size.height] * 2, np.float32)
        self._columns = Columns(class_ids)

    @staticmethod
    def columns(_size: Size, shapes: Shapes) -> int | None:
        """The most that a label map may have, if the outputs are those four."""
        return None if _names(shapes) is None else MOST_CLASSES

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """The boxes at or above the threshold.

        Raises InvalidOutputError also when the list is full of them: the model may have left somebody out.
        """
        shapes = shapes_of(outputs)
        names = _names(shapes)
        if names is None:
            raise shapes_error("tflite_detection_postprocess", outputs)
        boxes_name, classes_name, scores_name, count_name = names
        boxes = tensor(outputs, boxes_name, shapes[boxes_name])[0]
        classes = tensor(outputs, classes_name, shapes[classes_name])[0]
        scores = probabilities(outputs, scores_name, shapes[scores_name])[0]
        count = float(tensor(outputs, count_name, shapes[count_name]).item())
        if not 0 <= count <= len(scores) or count % 1:
            raise InvalidOutputError(f"the model says that it found {count} of at most {len(scores)} objects")
        if (classes < 0).any() or (classes >= MOST_CLASSES).any() or (classes % 1).any():
            raise InvalidOutputError(f"the model's output {classes_name!r} holds values that are no class numbers")
        reached = (scores >= threshold) & (np.arange(len(scores)) < count)
        if reached.all():
            raise InvalidOutputError(f"the model found {len(scores)} objects, all it can list: others may be missing")
        class_ids = self._columns.class_ids_of(classes.astype(np.intp))
        wanted = reached & (class_ids >= 0)
        return Candidates(boxes[wanted][:, [1, 0, 3, 2]] * self._sides, scores[wanted], class_ids[wanted])


def _names(shapes: Shapes) -> tuple[str, str, str, str] | None:
    """Names of boxes, classes, scores and count."""
    ordered = sorted(shapes, key=_number)
    for boxes, classes, scores, count in (ordered, ordered[::-1]) if len(ordered) == 4 else ():
        most = shapes[scores][-1] if shapes[scores] else 0
        expected = [(1, most, 4), (1, most), (1, most)]
        if [shapes[boxes], shapes[classes], shapes[scores]] == expected and shapes[count] in ((1,), ()):
            return boxes, classes, scores, count
    return None


def _number(name: str) -> int:
    found = re.search(r"(\d+)$", name)
    return int(found[1]) if found else 0
