"""What label files and pictures of real life are like, and what silently made a worse detector of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from scripts.train.datasets.forms import read_sets

Box = Sequence[float]


def _picture(path: Path, size: tuple[int, int] = (80, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full((size[1], size[0], 3), 128, np.uint8))[1].tobytes())


def _labels(path: Path, entries: Sequence[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def _entry(file: str, *boxes: Box, **more: object) -> dict[str, object]:
    return {"file": file, "boxes": [{"xywh": box} for box in boxes], **more}


def test_a_picture_that_two_files_label_is_one_picture_with_all_labels(tmp_path: Path) -> None:
    _picture(tmp_path / "images" / "a.png")
    faces = _labels(tmp_path / "faces.json", [_entry("a.png", (10, 10, 8, 10))])
    persons = _labels(tmp_path / "persons.json", [_entry("a.png", (5, 5, 30, 50))])
    found = read_sets([persons, faces])
    (sample,) = found.samples
    assert found.classes == ("person", "face")
    assert sample.class_ids.tolist() == [0, 1]
    assert sample.boxes.tolist() == [[5, 5, 35, 55], [10, 10, 18, 20]]


def test_a_box_that_is_named_twice_is_one_box(tmp_path: Path) -> None:
    _picture(tmp_path / "images" / "a.png")
    entries = [_entry("a.png", (10, 10, 30, 40)), _entry("a.png", (10.2, 9.8, 30, 40), (50, 10, 8, 10))]
    (sample,) = read_sets([_labels(tmp_path / "faces.json", entries)]).samples
    assert sample.boxes.tolist() == [[10, 10, 40, 50], [50, 10, 58, 20]]
