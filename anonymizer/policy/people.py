"""Everybody of one kind in a frame, once: who was detected there, who is expected there, and who is both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.geometry import iou_matrix
from anonymizer.types import F32, Detections, Target, Track

SAME_IOU = 0.5  # a detection and a track that overlap so much are one mask
SPREAD_SIGMAS = 2.0  # how much of a track's uncertainty its mask covers
HEAD_SHARE = 0.25  # of a person's height, from the top
EDGE = 0.01  # of the frame's height: so near its edge a box may end there because the frame does
HEAD_OF_WIDTH = 0.6  # of a person's width, if that is more: who sits, lies or is cut off has much head for the height

_Each = NDArray[np.float64] | float
Part = Callable[[F32], F32]  # boxes (N, 4) to the boxes of what is to be masked of each


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Boxes (N, 4) in source pixels of what is to be masked, those of all of everybody, and the tracks on them."""

    boxes: F32
    bodies: F32
    track_ids: tuple[int | None, ...]

    def __len__(self) -> int:
        return len(self.track_ids)

    def where(self, chosen: NDArray[np.bool_]) -> People:
        """Some of them."""
        return People(self.boxes[chosen], self.bodies[chosen], tuple(itertools.compress(self.track_ids, chosen)))


@dataclass(frozen=True, slots=True)
class Heights:
    """Which boxes count, by their height in source pixels; both bounds are within.

    Nobody is too low who is cut off by the frame's upper or lower edge: there may be much more of them, and near by.
    """

    frame_px: float  # the frame's own
    least_px: float
    most_px: float

    def admit(self, boxes: F32, slack_px: _Each = 0.0, excess_px: _Each = 0.0) -> NDArray[np.bool_]:
        """Which boxes (N, 4) count; those as well whose height is unsure by so much (N,) and may be within.

        By the excess (N,) they are higher than who is in them.
        """
        heights = boxes[:, 3].astype(np.float64) - boxes[:, 1]
        is_cut = (boxes[:, 1] <= EDGE * self.frame_px) | (boxes[:, 3] >= (1 - EDGE) * self.frame_px)
        is_high = is_cut | (heights + slack_px >= self.least_px)
        return np.asarray(is_high & (heights - excess_px - slack_px <= self.most_px))


def whole(boxes: F32) -> F32:
    """All of everybody."""
    return boxes


def head(boxes: F32) -> F32:
    """The upper part of persons' boxes (N, 4), in which the head is: all of the width, since people lean."""
    upper = boxes.copy()
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    share = np.maximum(np.float32(HEAD_SHARE) * height, np.float32(HEAD_OF_WIDTH) * width)
    upper[:, 3] = boxes[:, 1] + np.minimum(share, height)
    return upper


def seen(found: Sequence[tuple[Detections, float]], target: Target, heights: Heights, part: Part) -> People:
    """Everybody of a kind who was detected; beside detections stands by how much they are widened."""
    parts, bodies = [np.empty((0, 4), np.float32)], [np.empty((0, 4), np.float32)]
    for each, growth in found:
        boxes = _narrowed(each.boxes[each.class_ids == target], growth)
        boxes = boxes[heights.admit(boxes)]
        parts.append(_wide(boxes, part, growth))
        bodies.append(_wide(boxes, whole, growth))
    together = np.concatenate(parts)
    return People(together, np.concatenate(bodies), (None,) * len(together))


def expected(tracks: Sequence[Track], target: Target, heights: Heights, part: Part, growth: float) -> People:
    """Boxes that contain the tracks of a kind, which are widened by `growth`, with what is uncertain about their place.

    A track that a detection supports in this very frame is not uncertain: that detection is masked as well. Of others
    the height is unsure, too: boxes of those who are not seen grow and never shrink, which must not make them too high.
    """
    mine = [track for track in tracks if track.target == target]
    boxes = _narrowed(np.array([track.box for track in mine], np.float32).reshape(-1, 4), growth)
    spread = np.array([track.spread_px if track.unseen_ns else (0.0, 0.0) for track in mine], np.float32)
    spread = np.float32(SPREAD_SIGMAS) * spread.reshape(-1, 2)
    wide = (_wide(boxes, part, growth), _wide(boxes, whole, growth))
    parts, bodies = (np.concatenate([each[:, :2] - spread, each[:, 2:] + spread], axis=1) for each in wide)
    excess_px = np.array([track.excess_px for track in mine])
    counts = heights.admit(boxes, 2.0 * spread[:, 1].astype(np.float64), excess_px)
    return People(parts, bodies, tuple(track.track_id for track in mine)).where(counts)


def _narrowed(boxes: F32, growth: float) -> F32:
    """Boxes (N, 4) as they were before each side was moved outward by that fraction of the width or height."""
    if not growth:
        return boxes
    margins = np.float32(growth / (1 + 2 * growth)) * (boxes[:, 2:] - boxes[:, :2])
    narrow: F32 = np.concatenate([boxes[:, :2] + margins, boxes[:, 2:] - margins], axis=1)
    return narrow


def _wide(boxes: F32, part: Part, growth: float) -> F32:
    """The parts (N, 4) of boxes, widened by a fraction of the whole: a head may have gone as far as its owner."""
    parts = part(boxes)
    if not growth:
        return parts
    margins = np.float32(growth) * (boxes[:, 2:] - boxes[:, :2])
    wide: F32 = np.concatenate([parts[:, :2] - margins, parts[:, 2:] + margins], axis=1)
    return wide


def joined(seen: People, expected: People) -> tuple[People, People, People]:
    """Everybody once: boxes around a track and the detection it overlaps most, then who is only seen or expected.

    One calm mask instead of two that shift against each other: less to paint, less to encode, nothing uncovered.
    """
    if not len(seen) or not len(expected):
        return seen.where(np.zeros(len(seen), np.bool_)), seen, expected
    overlap = iou_matrix(expected.boxes, seen.boxes)
    best = overlap.argmax(axis=1)
    is_same = overlap[np.arange(len(best)), best] >= SAME_IOU
    partners, own = best[is_same], expected.where(is_same)
    boxes, bodies = _around(own.boxes, seen.boxes[partners]), _around(own.bodies, seen.bodies[partners])
    is_lonely = np.ones(len(seen), np.bool_)
    is_lonely[partners] = False
    return People(boxes, bodies, own.track_ids), seen.where(is_lonely), expected.where(~is_same)


def _around(one: F32, other: F32) -> F32:
    """The box around two, for each of N pairs."""
    return np.concatenate([np.minimum(one[:, :2], other[:, :2]), np.maximum(one[:, 2:], other[:, 2:])], axis=1)
