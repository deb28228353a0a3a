"""Synthetic pictures to learn from in seconds: pale ovals with two eyes on a mottled ground."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

SIDE_PX = 160


def draw(rng: np.random.Generator) -> tuple[np.ndarray, list[list[float]]]:
    """One picture (160, 160, 3) and its boxes, left, top, width, height."""
    ground = cv2.resize(rng.integers(0, 160, (12, 12, 3), dtype=np.uint8), (SIDE_PX, SIDE_PX))
    boxes: list[list[float]] = []
    for _ in range(int(rng.integers(1, 5))):
        height = float(np.exp(rng.uniform(np.log(14), np.log(60))))
        width = height * 0.75
        x, y = rng.uniform(0, SIDE_PX - width), rng.uniform(0, SIDE_PX - height)
        if any(abs(x - left) < 45 and abs(y - top) < 60 for left, top, _, _ in boxes):
            continue
        centre, half = (round(x + width / 2), round(y + height / 2)), (round(width / 2), round(height / 2))
        cv2.ellipse(ground, centre, half, 0, 0, 360, (230, 205, 190), -1, cv2.LINE_AA)
        for side in (-1, 1):
            eye = (round(x + width * (0.5 + 0.2 * side)), round(y + height * 0.4))
            cv2.circle(ground, eye, max(1, round(width / 10)), (20, 20, 20), -1, cv2.LINE_AA)
        boxes.append([x, y, width, height])
    return ground, boxes


def write(folder: Path, count: int, seed: int) -> Path:
    """A data set of so many pictures; its file of labels."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    entries = []
    for number in range(count):
        picture, boxes = draw(rng)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), picture)
        labels = [{"xywh": box, "ignore": False} for box in boxes]
        entries.append({"file": f"{number}.png", "width": SIDE_PX, "height": SIDE_PX, "boxes": labels})
    (folder / "faces.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder / "faces.json"
