"""What every committed model finds in the portraits, kept in a file: `python -m tests.golden_boxes` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

from anonymizer.zoo import Zoo
from tests.test_portraits import FACES, committed, frame_from, portrait

FILE = Path(__file__).with_suffix(".json")

Row = list[float]  # x1, y1, x2, y2 in source px, score


def rows(model: str, who: str, *, nms_iou: float = 0.4) -> list[Row]:
    """The boxes of one model, in its own form, in one portrait, by falling score."""
    own_form = mock.patch("anonymizer.detect.detector.form_for", lambda picture, own: own)
    with own_form, committed(model, max_detections=1000, nms_iou=nms_iou) as detector:
        found = detector.detect(frame_from(portrait(who)))
    pairs = zip(found.boxes.tolist(), found.scores.tolist(), strict=True)
    return [[*(round(side, 1) for side in box), round(score, 3)] for box, score in pairs]


def golden() -> dict[str, dict[str, list[Row]]]:
    """By model and portrait."""
    content: dict[str, dict[str, list[Row]]] = json.loads(FILE.read_text())
    return content


if __name__ == "__main__":
    every = {model: {who: rows(model, who) for who in FACES} for model in Zoo().detectors.names()}
    text = json.dumps(every, separators=(", ", ": "))
    FILE.write_text(text.replace(": {", ": {\n  ").replace("]], ", "]],\n  ").replace("}, ", "},\n") + "\n")
