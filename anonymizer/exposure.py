"""Finds the faces that lie outside the masks of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anonymizer.types import F32, Box, Detections, Region, Target

LEAST_MASKED = 0.5  # a box is bare if less of it is masked; a model may still take a mask itself for a face
SPARED_MARGIN = 0.25  # of the sides of a face; models disagree about its box by about as much

Box = Box


def bare_faces(found: Detections, regions: Sequence[Region], spared: Sequence[Box]) -> tuple[Box, ...]:
    """Those of the faces found in a redacted picture that are `exposed`."""
    bare = exposed(found.boxes[found.class_ids == Target.FACE], regions, spared)
    return tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in bare.tolist())


def exposed(boxes: F32, regions: Sequence[Region], spared: Sequence[Box] = ()) -> F32:
    """Those of the boxes (N, 4), in pixels, of which less than half is masked or spared.

    Regions count with the box around them; polygons do not count. `spared` are the boxes of faces that are visible on
    purpose; they count with a margin.
    """
    masks = np.array([region.box for region in regions if region.outline is None], np.float32).reshape(-1, 4)
    faces = np.array(spared, np.float32).reshape(-1, 4)
    margins = np.float32(SPARED_MARGIN) * (faces[:, 2:] - faces[:, :2])
    masks = np.concatenate([masks, np.concatenate([faces[:, :2] - margins, faces[:, 2:] + margins], axis=1)])
    bare = [box for box in boxes if _masked_share(box, masks) < LEAST_MASKED]
    return np.array(bare, np.float32).reshape(-1, 4)


def _masked_share(box: F32, masks: F32) -> float:
    """The share of the box that the masks cover together, on a grid of 16 x 16 points: exact to a few per cent."""
    x, y = (start + (end - start) * (np.arange(16) + 0.5) / 16 for start, end in ((box[0], box[2]), (box[1], box[3])))
    is_within_x = (x >= masks[:, None, 0]) & (x < masks[:, None, 2])
    is_within_y = (y >= masks[:, None, 1]) & (y < masks[:, None, 3])
    return float((is_within_y[:, :, None] & is_within_x[:, None, :]).any(axis=0).mean())
