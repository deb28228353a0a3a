"""Renders the pictures of a camera that pans and zooms over two portraits on a wall, in a loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from anonymizer.types import U8, Size

LOOP_S = 20.0
_PORTRAITS = Path(__file__).with_name("portraits")
_WALL = Size(1920, 1080)
_WALL_BGR = (96, 104, 88)
_FRAME_BGR = (40, 52, 60)
_PLACES = (("astronaut.jpg", 620, 520, 1.15), ("grace_hopper.jpg", 1330, 560, 0.95))  # file, centre x, y, scale


def render(size: Size, fps: float) -> Iterator[U8]:
    """The pictures of one loop of LOOP_S seconds, each (H, W, 3) uint8 BGR."""
    wall = _paint_wall()
    count = max(1, round(LOOP_S * fps))
    for index in range(count):
        matrix = view_at(index / count, size)
        yield cv2.warpAffine(
            wall,
            matrix,
            (size.width, size.height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=_WALL_BGR,
        ).astype(np.uint8, copy=False)


def view_at(phase: float, size: Size) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Affine wall-to-picture matrix (2, 3) at a phase of the loop; phase 0 and phase 1 are the same view."""
    turn = 2.0 * math.pi * phase
    centre_x = _WALL.width / 2 + 260.0 * math.sin(turn)
    centre_y = _WALL.height / 2 + 40.0 * math.sin(2.0 * turn + 0.5)
    visible_width = 1500.0 + 300.0 * math.cos(2.0 * turn)
    scale = size.width / visible_width
    return np.array(
        [
            [scale, 0.0, size.width / 2 - scale * centre_x],
            [0.0, scale, size.height / 2 - scale * centre_y],
        ]
    )


def _paint_wall() -> U8:
    """The scene: (1080, 1920, 3) uint8 BGR; a lightly textured wall, so that the picture is never flat."""
    texture = np.random.default_rng(7).normal(0.0, 10.0, (_WALL.height // 8, _WALL.width // 8, 1))
    shade = cv2.resize(texture, (_WALL.width, _WALL.height), interpolation=cv2.INTER_CUBIC)[..., np.newaxis]
    wall = np.clip(np.asarray(_WALL_BGR) + shade, 0, 255).astype(np.uint8)
    for name, centre_x, centre_y, scale in _PLACES:
        portrait = cv2.imread(str(_PORTRAITS / name), cv2.IMREAD_COLOR)
        if portrait is None:
            raise FileNotFoundError(f"{_PORTRAITS / name} is missing or damaged; install the package again")
        portrait = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = portrait.shape[:2]
        left, top = centre_x - width // 2, centre_y - height // 2
        cv2.rectangle(wall, (left - 14, top - 14), (left + width + 13, top + height + 13), _FRAME_BGR, -1)
        wall[top : top + height, left : left + width] = portrait
    return wall
