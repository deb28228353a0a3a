"""LiteRT and tflite-runtime find the same: `scripts/test` runs this file in an environment of each."""

from __future__ import annotations

import numpy as np
import pytest

from anonymizer.geometry import iou_matrix
from anonymizer.zoo import Zoo
from tests.golden_boxes import golden, rows

LEAST_IOU = 0.95
SCORE_TOLERANCE = 0.03

GOLDEN = golden()


@pytest.mark.parametrize(("model", "who"), [(model, who) for model in GOLDEN for who in GOLDEN[model]])
def test_a_committed_model_finds_the_same_boxes_in_every_runtime(model: str, who: str) -> None:
    expected = np.array(GOLDEN[model][who], np.float32).reshape(-1, 5)
    found = np.array(rows(model, who), np.float32).reshape(-1, 5)
    surely = Zoo().spec(model).threshold + SCORE_TOLERANCE  # a score nearer to it may fall on either side
    for these, those in ((expected, found), (found, expected)):
        these = these[these[:, 4] >= surely]
        overlap = iou_matrix(these[:, :4], those[:, :4])
        best = overlap.argmax(axis=1)
        assert (overlap[np.arange(len(these)), best] >= LEAST_IOU).all(), (model, who, these, those)
        np.testing.assert_allclose(these[:, 4], those[best, 4], atol=SCORE_TOLERANCE)
