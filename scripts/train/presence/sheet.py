"""Shows where a classifier looked: its map over each picture, and its score."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymizer.types import F32, U8
from scripts.train.presence.judge import Answer, hottest, resized

_GREEN, _RED, _WHITE = (0, 200, 0), (230, 40, 40), (255, 255, 255)


def draw(canvas: U8, people: F32, answer: Answer) -> U8:
    """(H, W, 3) RGB: hot cells red, people's boxes green, a cross on the hottest cell."""
    height, width = canvas.shape[:2]
    heat = resized(answer.map, width, height)[..., None]
    image = np.rint(canvas * (1 - 0.5 * heat) + np.array(_RED) * 0.5 * heat).astype(np.uint8)
    corners = (people * np.array([width, height, width, height])).round().astype(int).tolist()
    for x1, y1, x2, y2 in corners:
        cv2.rectangle(image, (x1, y1), (x2, y2), _GREEN, 1)
    x, y = hottest(answer.map)
    cv2.drawMarker(image, (round(x * width), round(y * height)), _WHITE, cv2.MARKER_CROSS, 12, 2)
    right = (answer.score >= 0.5) == (len(people) > 0)
    place = (4, height - 6)
    cv2.putText(image, f"{answer.score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _GREEN if right else _RED, 1)
    return image


def sheet(pictures: Sequence[U8], columns: int = 8) -> U8:
    """Pictures of one size, row by row; there is at least one."""
    blank = np.full_like(pictures[0], 255)
    cells = [*pictures, *[blank] * (-len(pictures) % columns)]
    return np.concatenate([np.concatenate(cells[at : at + columns], axis=1) for at in range(0, len(cells), columns)])
