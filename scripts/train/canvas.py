"""Canvases to learn from: crops of labelled pictures at chosen face heights, alone or as mosaics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, U8, Size
from scripts.train.picture import Picture, Sample

Augment = Callable[[Picture, np.random.Generator], Picture]


@dataclass(frozen=True, slots=True)
class CanvasSettings:
    """What canvases look like; lengths in pixels of the canvas."""

    side_px: int = 320  # a multiple of 32
    least_face_px: float = 5.0  # height; heights are log-uniform
    most_face: float = 0.8  # height, share of the canvas's side
    mosaics: float = 0.5  # share of canvases made of four parts
    nested: float = 0.3  # share of such parts that are again made of four
    most_zoom: float = 2.5  # of the stored picture
    least_label_px: float = 4.0  # lower faces are ignored
    least_visible: float = 0.4  # of a face's area; what is cut more is ignored


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A picture decoded once, with its halvings, so that a crop costs the same at every scale."""

    halvings: tuple[U8, ...]  # the first one is the picture itself
    labels: Sample


def store(sample: Sample) -> Stored:
    """The picture and its halvings down to 80 pixels."""
    halvings = [sample.load().image]
    while min(halvings[-1].shape[:2]) >= 160:
        height, width = halvings[-1].shape[:2]
        halvings.append(np.asarray(cv2.resize(halvings[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)))
    return Stored(tuple(halvings), sample)


class CanvasMaker:
    """Canvas number i of an endless, seeded sequence: the same for the same seed, settings and pictures."""

    def __init__(
        self,
        pictures: Sequence[Stored],
        weights: Sequence[float],  # how often each picture is shown
        settings: CanvasSettings,
        augment: Augment,
        seed: int,
    ) -> None:
        self._pictures = pictures
        self._shares = np.cumsum(weights) / np.sum(weights)
        self._settings = settings
        self._augment = augment
        self._seed = seed

    def make(self, number: int, size: Size | None = None) -> Picture:
        """That canvas; `size` replaces the one of the settings."""
        rng = np.random.default_rng((self._seed, number))
        width, height = (size.width, size.height) if size else (self._settings.side_px,) * 2
        is_mosaic = rng.random() < self._settings.mosaics
        canvas = self._mosaic(width, height, rng) if is_mosaic else self._crop(width, height, rng)
        return self._tidy(self._augment(canvas, rng))

    def _mosaic(self, width: int, height: int, rng: np.random.Generator) -> Picture:
        image = np.zeros((height, width, 3), np.uint8)
        across = int(width * rng.uniform(0.35, 0.65))
        down = int(height * rng.uniform(0.35, 0.65))
        parts = []
        for left, right in ((0, across), (across, width)):
            for top, bottom in ((0, down), (down, height)):
                nested = right - left >= 120 and bottom - top >= 120 and rng.random() < self._settings.nested
                make = self._mosaic if nested else self._crop
                part = make(right - left, bottom - top, rng)
                image[top:bottom, left:right] = part.image
                shift = np.array([left, top, left, top], np.float32)
                parts.append((part.boxes + shift, part.class_ids, part.ignore))
        boxes, class_ids, ignore = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Picture(image, boxes, class_ids, ignore)

    def _crop(self, width: int, height: int, rng: np.random.Generator) -> Picture:
        picture = self._pictures[int(np.searchsorted(self._shares, rng.random()))]
        labels = picture.labels
        rows, columns = picture.halvings[0].shape[:2]
        target = np.exp(
            rng.uniform(np.log(self._settings.least_face_px), np.log(self._settings.most_face * self._settings.side_px))
        )
        real = np.flatnonzero(~labels.ignore)
        if len(real):
            box = labels.boxes[rng.choice(real)]
            centre = (box[:2] + box[2:]) / 2
            scale = target / max(float(box[3] - box[1]), 1.0)
        else:
            centre = rng.uniform((0, 0), (columns, rows))
            scale = np.exp(rng.uniform(np.log(0.2), np.log(self._settings.most_zoom)))
        scale = float(np.clip(scale, max(width / columns, height / rows) * 0.8, self._settings.most_zoom))
        window = np.array([width, height]) / scale
        corner = centre - window * rng.uniform(0.1, 0.9, 2)
        room = np.array([columns, rows]) - window
        corner = np.where(room > 0, np.clip(corner, 0, np.maximum(room, 0)), room * rng.random(2))
        halving = 0
        while halving + 1 < len(picture.halvings) and scale * 2 ** (halving + 1) <= 1.0:
            halving += 1
        image = _cut(picture.halvings[halving], corner / 2**halving, scale * 2**halving, width, height)
        boxes = ((labels.boxes - np.tile(corner, 2)) * scale).astype(np.float32)
        return self._clip(Picture(image, boxes, labels.class_ids, labels.ignore))

    def _clip(self, picture: Picture) -> Picture:
        height, width = picture.image.shape[:2]
        clipped = np.clip(picture.boxes, 0, np.array([width, height, width, height], np.float32))
        visible = _area(clipped) / np.maximum(_area(picture.boxes), 1e-6)
        kept = visible > 0.02
        ignore = picture.ignore | (visible < self._settings.least_visible)
        return Picture(picture.image, clipped[kept], picture.class_ids[kept], ignore[kept])

    def _tidy(self, picture: Picture) -> Picture:
        low = picture.boxes[:, 3] - picture.boxes[:, 1] < self._settings.least_label_px
        return Picture(picture.image, picture.boxes, picture.class_ids, picture.ignore | low)


def _cut(image: U8, corner: NDArray[np.float64], scale: float, width: int, height: int) -> U8:
    """A window of the image whose corner may lie outside, enlarged by scale; black outside."""
    interpolation = cv2.INTER_AREA if scale < 0.8 else cv2.INTER_LINEAR
    x1, y1 = np.floor(corner).astype(int)
    x2, y2 = np.ceil(corner + np.array([width, height]) / scale).astype(int)
    rows, columns = image.shape[:2]
    inner = image[max(y1, 0) : max(min(y2, rows), 0), max(x1, 0) : max(min(x2, columns), 0)]
    canvas = np.zeros((height, width, 3), np.uint8)
    if not inner.size:
        return canvas
    left, top = (np.array([max(x1, 0), max(y1, 0)]) - corner) * scale
    right, bottom = left + inner.shape[1] * scale, top + inner.shape[0] * scale
    # whole pixels: an error under half a pixel, for a resize at a tenth of a warp's cost
    left, top, right, bottom = (round(float(value)) for value in (left, top, right, bottom))
    if right <= left or bottom <= top:
        return canvas
    part = np.asarray(cv2.resize(inner, (right - left, bottom - top), interpolation=interpolation))
    fits = part[max(-top, 0) : height - top, max(-left, 0) : width - left]
    canvas[max(top, 0) : max(top, 0) + fits.shape[0], max(left, 0) : max(left, 0) + fits.shape[1]] = fits
    return canvas


def _area(boxes: F32) -> F32:
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
