"""LiteRT and tflite-runtime find the same: `scripts/test` runs this file in an environment of each."""

from __future__ import annotations

import numpy as np
import pytest

from anonymizer.geometry import iou_matrix
from anonymizer.zoo import Zoo
from tests.golden_boxes import golden, rows

SAME_BOX, SAME_OBJECT = 0.95, 0.7  # IoU
SCORE_TOLERANCE = 0.03
EVERY_CELL = 0.99  # IoU for NMS: boxes that nearly are the same, and score the same but for rounding, all stay

GOLDEN = golden()


@pytest.mark.parametrize(("model", "who"), [(model, who) for model in GOLDEN for who in GOLDEN[model]])
def test_a_committed_model_finds_the_same_boxes_in_every_runtime(model: str, who: str) -> None:
    surely = Zoo().detectors.spec(model).threshold + SCORE_TOLERANCE  # a score nearer to it may fall on either side
    expected, found, cells = (
        np.array(each, np.float32).reshape(-1, 5)
        for each in (GOLDEN[model][who], rows(model, who), rows(model, who, nms_iou=EVERY_CELL))
    )
    for these, those, least in ((expected, cells, SAME_BOX), (found, expected, SAME_OBJECT)):
        these = these[these[:, 4] >= surely]
        is_same = iou_matrix(these[:, :4], those[:, :4]) >= least  # of several cells on somebody scores may differ
        is_same &= np.abs(these[:, 4, None] - those[:, 4]) <= SCORE_TOLERANCE
        assert is_same.any(axis=1).all(), (model, who, these, those)
