"""A made-up scene: people who walk through it, each drawn so that looks tell where they are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from anonymizer.types import U8, Planes, Size, Target

SIZE = Size(192, 144)
BLOCK_PX = 4  # of the views: structure that survives the reduction by which views are compared
LEAST_PX = 4.0  # a side of somebody's that counts
LUMA = (60, 220)  # of all there is to see: what `fill` paints is never among it

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Walker:
    """Somebody who comes, walks straight on and goes; two of the same looks are two people."""

    target: Target
    start: Box  # when coming
    speed_px_s: tuple[float, float]
    comes_s: float
    goes_s: float
    score: float  # that the detector gives
    missed: float  # share of looks in which it does not

    def at(self, time_s: float) -> Box | None:
        """The part of the box that is in the picture; None: nothing that counts is."""
        if not self.comes_s <= time_s <= self.goes_s:
            return None
        dx, dy = (speed * (time_s - self.comes_s) for speed in self.speed_px_s)
        x1, y1 = max(self.start[0] + dx, 0.0), max(self.start[1] + dy, 0.0)
        x2, y2 = min(self.start[2] + dx, SIZE.width), min(self.start[3] + dy, SIZE.height)
        return (x1, y1, x2, y2) if min(x2 - x1, y2 - y1) >= LEAST_PX else None


def make_walker(draw: random.Random, comes_s: float) -> Walker:
    """Anybody."""
    width = draw.choice((10, 20, 30, 44))
    height = int(width * 1.3)
    x, y = draw.uniform(0, SIZE.width - width), draw.uniform(0, SIZE.height - height)
    speed = draw.choice((0.0, 0.0, 0.3, 0.7, 1.0)) * width
    return Walker(
        target=draw.choice(tuple(Target)),
        start=(x, y, x + width, y + height),
        speed_px_s=(draw.choice((-1, 1)) * speed, draw.choice((-0.3, 0.0, 0.3)) * speed),
        comes_s=comes_s,
        goes_s=comes_s + draw.uniform(0.2, 8.0),
        score=draw.choice((0.95, 0.5, 0.3)),
        missed=draw.choice((0.0, 0.0, 0.1, 0.5)),
    )


class Scene:
    """Two views of one camera, and what everybody in them looks like."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shape = SIZE.height // BLOCK_PX, SIZE.width // BLOCK_PX
        self._views = tuple(_enlarged(rng.integers(*LUMA, shape, dtype=np.uint8)) for _ in range(2))
        self._looks: U8 = rng.integers(*LUMA, (16, 16), dtype=np.uint8)
        self._grey = np.full((SIZE.height // 2, SIZE.width // 2), 128, np.uint8)

    def picture(self, view: int, people: Sequence[Box]) -> Planes:
        """The view with the people in it."""
        luma = self._views[view].copy()
        for box in people:
            x1, y1, x2, y2 = pixels(box)
            luma[y1:y2, x1:x2] = cv2.resize(self._looks, (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)
        return Planes(luma, self._grey, self._grey)


def pixels(box: Box) -> tuple[int, int, int, int]:
    """The whole pixels of a box."""
    x1, y1, x2, y2 = (round(side) for side in box)
    return x1, y1, x2, y2


def _enlarged(cells: U8) -> U8:
    return cells.repeat(BLOCK_PX, axis=0).repeat(BLOCK_PX, axis=1)
