"""Cuts tiles out of a frame, and merges what a model found in them into detections of the frame; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.detect.families.family import Candidates
from anonymizer.detect.letterbox import Letterbox
from anonymizer.detect.nms import nms
from anonymizer.geometry import area, clip
from anonymizer.types import F32, I32, Planes, Size

PART_SHARE = 0.5  # a cut box of which more than this lies inside another box is a part of the same object
EDGE_PX = 4.0  # input pixels: a box that ends so near to a border of its tile may be cut off there


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a frame in source pixels, all four numbers even; it lies inside the frame."""

    x: int
    y: int
    size: Size

    @classmethod
    def whole(cls, frame: Size) -> Tile:
        """The tile that is all of the frame."""
        return cls(0, 0, frame)

    def crop(self, planes: Planes) -> Planes:
        """The tile's part of a frame's picture, as views."""
        rows, columns = slice(self.y, self.y + self.size.height), slice(self.x, self.x + self.size.width)
        half = (slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2))
        return Planes(planes.y[rows, columns], planes.u[half], planes.v[half])

    def cuts(self, boxes: F32, frame: Size, slack_px: float) -> NDArray[np.bool_]:
        """Which boxes (N, 4), source pixels, end within `slack_px` of a border of the tile that is not the frame's."""
        right, bottom = self.x + self.size.width, self.y + self.size.height
        low = np.array([self.x or -np.inf, self.y or -np.inf])
        high = np.array([right if right < frame.width else np.inf, bottom if bottom < frame.height else np.inf])
        ends = np.concatenate([boxes[:, :2] <= low + slack_px, boxes[:, 2:] >= high - slack_px], axis=1)
        return np.asarray(ends.any(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What a model found in one tile; all arrays share N, N may be 0."""

    boxes: F32  # (N, 4) source pixels, clipped to the frame, with an area
    scores: F32  # (N,) 0-1
    class_ids: I32  # (N,) values of Target
    is_cut: NDArray[np.bool_]  # (N,) the object may go on beyond the tile

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Sighting:
        """The chosen rows."""
        return Sighting(self.boxes[chosen], self.scores[chosen], self.class_ids[chosen], self.is_cut[chosen])


def sighted(found: Candidates, placement: Letterbox, tile: Tile, frame: Size) -> Sighting:
    """Candidates in the input picture of a tile, placed in the frame; those outside the tile are left out."""
    boxes = placement.to_source(found.boxes)
    is_seen = area(clip(boxes, tile.size)) > 0
    boxes = clip(boxes[is_seen] + np.array([tile.x, tile.y, tile.x, tile.y], np.float32), frame)
    is_cut = tile.cuts(boxes, frame, EDGE_PX / min(placement.scale))
    return Sighting(boxes, found.scores[is_seen], found.class_ids[is_seen], is_cut)


def merged(sightings: Sequence[Sighting], *, iou: float, max_detections: int) -> Sighting:
    """Every object of one or more sightings once, by falling score.

    Class-wise NMS within each sighting, then over all of them. Boxes that a border cuts are united with the uncut box
    that they are a part of, or with each other, so that whatever any tile showed stays covered. Raises
    InvalidOutputError as `nms` does.
    """

    def suppressed(found: Sighting) -> Sighting:
        return found.take(nms(found.boxes, found.scores, found.class_ids, iou=iou, max_detections=max_detections))

    found = _together([suppressed(each) for each in sightings])
    if len(sightings) == 1:
        return found
    return suppressed(_united(suppressed(found.take(~found.is_cut)), found.take(found.is_cut)))


def _together(sightings: Sequence[Sighting]) -> Sighting:
    return Sighting(
        np.concatenate([each.boxes for each in sightings]),
        np.concatenate([each.scores for each in sightings]),
        np.concatenate([each.class_ids for each in sightings]),
        np.concatenate([each.is_cut for each in sightings]),
    )


def _united(uncut: Sighting, parts: Sighting) -> Sighting:
    """The uncut boxes grown by their parts, and the other parts, those of one object united into one box."""
    found = _together([uncut, parts])
    areas, shared = area(found.boxes), _shared(found)
    iou = shared / (areas[:, None] + areas - shared)
    leader = np.arange(len(found))  # of each box: the first of those that it is united with
    orphans: list[int] = []  # parts without an uncut box
    for part in range(len(uncut), len(found)):
        if (shared[part, : len(uncut)] > PART_SHARE * areas[part]).any():
            leader[part] = iou[part, : len(uncut)].argmax()
            continue
        for other in orphans:
            if shared[part, other] > PART_SHARE * min(areas[part], areas[other]):
                leader[leader == leader[part]] = leader[other]
        orphans.append(part)
    boxes, scores = found.boxes.copy(), found.scores.copy()
    np.minimum.at(boxes[:, :2], leader, found.boxes[:, :2])
    np.maximum.at(boxes[:, 2:], leader, found.boxes[:, 2:])
    np.maximum.at(scores, leader, found.scores)
    first = np.unique(leader)
    return Sighting(boxes[first], scores[first], found.class_ids[first], found.is_cut[first])


def _shared(found: Sighting) -> F32:
    """The area (N, N) that each two boxes share; 0 if they are of different classes."""
    low = np.maximum(found.boxes[:, None, :2], found.boxes[None, :, :2])
    high = np.minimum(found.boxes[:, None, 2:], found.boxes[None, :, 2:])
    sides = np.maximum(high - low, np.float32(0))
    shared: F32 = sides[..., 0] * sides[..., 1]
    shared[found.class_ids[:, None] != found.class_ids] = 0
    return shared
