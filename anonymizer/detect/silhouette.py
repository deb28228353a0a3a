"""A segmentation model that draws the shapes of persons, each out of a square around its box."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymizer.detect.engine import Engine
from anonymizer.detect.letterbox import Fit, Letterboxer
from anonymizer.detect.loading import load
from anonymizer.detect.self_test import read_picture
from anonymizer.detect.shape import Polygon, Rectangle, trace
from anonymizer.detect.tiles import Tile
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Meter
from anonymizer.types import F32, Colour, Planes, Size

MASK = "mask"  # output: (1, height, width, 1) logits
AROUND = 1.5  # side of the square, in longer sides of the box: what the model was trained with

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class SilhouetteTest:
    """How much of a person's box in a picture the mask of a loaded model must cover."""

    picture: Path
    box: Box  # x1 y1 x2 y2 as fractions of the picture
    least: float  # share of the box
    most: float


@dataclass(frozen=True, slots=True)
class SilhouetteModel:
    """A model file and how to read it."""

    name: str
    path: Path
    size: Size  # of input and mask
    mean: float  # a float input takes (RGB - mean) * scale
    scale: float
    self_test: SilhouetteTest | None = None


class Silhouettist(Resource):
    """One segmentation model; constructed anywhere, then used by one thread, restartable after `close()`."""

    def __init__(self, model: SilhouetteModel, *, threads: int, meter: Meter) -> None:
        self.name = model.name
        self._model = model
        self._meter = meter
        self._engine = Engine(model.path, threads=threads, mean=model.mean, scale=model.scale)
        self._letterboxer = Letterboxer(model.size, Fit.LETTERBOX)

    def start(self) -> None:
        """Load the model and try it on a picture whose answer is about known; raises ModelError."""
        load(self._engine, name=self.name, size=self._model.size, try_out=self._try_out, meter=self._meter)

    def outline(self, planes: Planes, colour: Colour, box: Box) -> Polygon | None:
        """The outline, in source pixels, of the person in a box of a picture; None where the mask is unsure.

        Raises InvalidOutputError when the output is suspect, ModelError when the runtime fails or is not started.
        """
        logits, person, view = self._mask(planes, colour, box)
        polygon = trace(logits, person, view.picture)
        return None if polygon is None else tuple(view.to_source(point) for point in polygon)

    def close(self) -> None:
        """Free the model; idempotent."""
        self._engine.close()

    def _mask(self, planes: Planes, colour: Colour, box: Box) -> tuple[F32, Rectangle, _View]:
        tile, (left, top) = _square(box, planes.size)
        small, placement = self._letterboxer.apply(tile.crop(planes), colour)
        scale = placement.scale[0]
        inner, size = placement.inner, self._model.size
        # The person stands in the middle, as in training, also where the frame's edge cuts the square.
        dx = min(max(round(scale * (tile.x - left)), 0), size.width - inner.width)
        dy = min(max(round(scale * (tile.y - top)), 0), size.height - inner.height)
        canvas = np.zeros_like(small)
        canvas[dy : dy + inner.height, dx : dx + inner.width] = small[: inner.height, : inner.width]
        view = _View(tile.x, tile.y, scale, dx, dy, inner)
        logits = _logits(self._engine.run(canvas), size)
        return logits, view.to_mask(box), view

    def _try_out(self) -> None:
        test = self._model.self_test
        if test is None:
            size = self._model.size
            _logits(self._engine.run(np.zeros((size.height, size.width, 3), np.uint8)), size)
            return
        planes, colour = read_picture(test.picture)
        x1, y1, x2, y2 = test.box
        width, height = planes.size.width, planes.size.height
        logits, person, _ = self._mask(planes, colour, (x1 * width, y1 * height, x2 * width, y2 * height))
        share = float((person.of((logits > 0).astype(np.uint8))).mean())
        if not test.least <= share <= test.most:
            raise ModelError(
                f"model {self.name} does not draw the person in {test.picture.name} ({share:.0%} of the box, "
                f"{test.least:.0%} to {test.most:.0%} promised): this processor or runtime computes it wrongly; try "
                "another runtime, or another effect than silhouette"
            )


@dataclass(frozen=True, slots=True)
class _View:
    """Where a part of a picture lies in a model's input."""

    x: int  # of the part, in source pixels
    y: int
    scale: float  # input pixels for each source pixel
    dx: int  # of the part, in input pixels
    dy: int
    inner: Size  # of the part, in input pixels

    @property
    def picture(self) -> Rectangle:
        return Rectangle(self.dx, self.dy, self.dx + self.inner.width, self.dy + self.inner.height)

    def to_mask(self, box: Box) -> Rectangle:
        x1, y1, x2, y2 = box
        left, top = (x1 - self.x) * self.scale + self.dx, (y1 - self.y) * self.scale + self.dy
        return Rectangle(left, top, left + (x2 - x1) * self.scale, top + (y2 - y1) * self.scale)

    def to_source(self, point: tuple[float, float]) -> tuple[float, float]:
        x, y = point
        return (x - self.dx) / self.scale + self.x, (y - self.dy) / self.scale + self.y


def _square(box: Box, frame: Size) -> tuple[Tile, tuple[float, float]]:
    """The visible part of the square around a box, and where all of it begins."""
    x1, y1, x2, y2 = box
    side = AROUND * max(x2 - x1, y2 - y1, 2.0)
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    x, y = max(2 * math.floor(left / 2), 0), max(2 * math.floor(top / 2), 0)
    right = min(2 * math.ceil((left + side) / 2), frame.width)
    bottom = min(2 * math.ceil((top + side) / 2), frame.height)
    return Tile(x, y, Size(right - x, bottom - y)), (left, top)


def _logits(outputs: Mapping[str, F32], size: Size) -> F32:
    if MASK not in outputs:
        raise InvalidOutputError(f"a silhouette model without the output {MASK!r}")
    logits = outputs[MASK]
    if logits.shape != (1, size.height, size.width, 1) or not np.isfinite(logits).all():
        raise InvalidOutputError(f"a mask of shape {logits.shape}, or with values that are not finite")
    return logits[0, :, :, 0]
