"""Pictures with somebody and pictures of nobody, cut from labelled ones, as many of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.types import F32
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.picture import Picture, Sample, read_rgb

FACE = "face"
_BODY_WIDTHS, _BODY_HEIGHTS = 3.0, 7.0  # of a face that stands upright
LEAST_PX = 48  # of a part's sides
_ASPECTS = (0.75, 1.8)  # width / height
_SHARES = (0.15, 1.3)  # a person's height of the picture's
_VISIBLE = 0.5  # of somebody who makes a picture one with somebody
_TRIES = 40


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A part of a picture."""

    path: Path
    crop: tuple[int, int, int, int]  # x1 y1 x2 y2 in pixels of the picture
    present: bool  # somebody is in it
    people: F32  # (N, 4) where, in pixels of the crop; empty if nobody is

    def load(self) -> Picture:
        """The crop and its people; raises DatasetError."""
        x1, y1, x2, y2 = self.crop
        count = len(self.people)
        image = np.ascontiguousarray(read_rgb(self.path)[y1:y2, x1:x2])
        return Picture(image, self.people, np.zeros(count, np.int32), np.zeros(count, np.bool_))


def bodies(sample: Sample, classes: Sequence[str]) -> tuple[F32, F32]:
    """People who count (N, 4), and everything that may be one (M, 4), the ignored and the doubtful too.

    A face stands for the body below it.
    """
    boxes = sample.boxes.copy()
    if FACE in classes:
        faces = sample.class_ids == classes.index(FACE)
        x1, y1, x2, y2 = boxes[faces].T
        middle, width, height = (x1 + x2) / 2, (x2 - x1) * _BODY_WIDTHS / 2, (y2 - y1) * _BODY_HEIGHTS
        boxes[faces] = np.stack([middle - width, y1 - 0.1 * height, middle + width, y1 + height], axis=1)
    return boxes[~sample.ignore], boxes


def balanced(data: TrainingSet, rng: np.random.Generator, *, per_picture: int) -> list[Example]:
    """Up to so many pictures with somebody and as many of nobody from each, then evened out over all.

    Nobody's are cut from the same pictures, at the sizes of the others, where no box is. Raises DatasetError if one
    kind is missing altogether.
    """
    somebody: list[Example] = []
    nobody: list[Example] = []
    for sample in data.samples:
        sure, all_boxes = bodies(sample, data.classes)
        height, width = sample.load().image.shape[:2]
        size = np.array([width, height], np.float64)
        cut = [_around(sample.path, sure, size, rng) for _ in range(per_picture if len(sure) else 0)]
        somebody += [each for each in cut if each is not None]
        empty = [_beside(sample.path, all_boxes, size, rng) for _ in range(per_picture)]
        nobody += [each for each in empty if each is not None]
    count = min(len(somebody), len(nobody))
    if not count:
        missing = "somebody" if not somebody else "nobody"
        raise DatasetError(f"the pictures have no part with {missing}: add others")
    return [each for kind in (somebody, nobody) for each in _chosen(kind, count, rng)]


def _chosen(examples: list[Example], count: int, rng: np.random.Generator) -> list[Example]:
    return [examples[at] for at in np.sort(rng.permutation(len(examples))[:count])]


def _around(path: Path, people: F32, size: np.ndarray, rng: np.random.Generator) -> Example | None:
    """A part that shows one of the people at a drawn size."""
    box = people[int(rng.integers(len(people)))].astype(np.float64)
    box = np.clip(box, 0, np.tile(size, 2))
    sides = box[2:] - box[:2]
    if sides.min() < 8:
        return None
    height = sides[1] / math.exp(rng.uniform(*np.log(_SHARES)))
    wanted = np.array([height * rng.uniform(*_ASPECTS), height])
    wanted = np.minimum(np.maximum(wanted, LEAST_PX), size)
    # the person inside the part, or the part inside the person
    edges = np.sort([box[:2], box[2:] - wanted], axis=0)
    corner = rng.uniform(*np.clip(edges, 0, size - wanted))
    crop = np.concatenate([corner, corner + wanted]).round().astype(int)
    inside = _cut(people, crop)
    return Example(path, _as_crop(crop), present=True, people=inside) if len(inside) else None


def _beside(path: Path, boxes: F32, size: np.ndarray, rng: np.random.Generator) -> Example | None:
    """A part that touches no box."""
    for _ in range(_TRIES):
        height = size.min() * math.exp(rng.uniform(math.log(0.15), 0))
        wanted = np.minimum(np.maximum([height * rng.uniform(*_ASPECTS), height], LEAST_PX), size)
        corner = rng.uniform(0, 1, 2) * (size - wanted)
        crop = np.concatenate([corner, corner + wanted]).round().astype(int)
        overlap = np.minimum(crop[2:], boxes[:, 2:]) - np.maximum(crop[:2], boxes[:, :2])
        if not (overlap > 0).all(axis=1).any():
            return Example(path, _as_crop(crop), present=False, people=np.empty((0, 4), np.float32))
    return None


def _as_crop(corners: np.ndarray) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = corners.tolist()
    return x1, y1, x2, y2


def _cut(people: F32, crop: np.ndarray) -> F32:
    """Those of whom enough is visible, in pixels of the crop."""
    cut = np.clip(people - np.tile(crop[:2], 2), 0, np.tile(crop[2:] - crop[:2], 2)).astype(np.float32)
    sides, full = (cut[:, 2:] - cut[:, :2]).astype(np.float64), (people[:, 2:] - people[:, :2]).astype(np.float64)
    area = float((crop[2:] - crop[:2]).prod())
    # a close-up shows little of somebody, but fills the picture
    enough = sides.prod(axis=1) >= np.minimum(_VISIBLE * full.prod(axis=1), 0.5 * area)
    kept: F32 = cut[enough & (sides > 0).all(axis=1)]
    return kept
