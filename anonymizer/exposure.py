"""Which boxes lie outside the masks of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anonymizer.types import F32, Box, Detections, Region, Target

LEAST_MASKED = 0.5  # share of a box: a redacted face that a model still takes for one lies under its mask
SPARED_MARGIN = 0.25  # of a face's sides

Box = Box


def bare_faces(found: Detections, regions: Sequence[Region], spared: Sequence[Box]) -> tuple[Box, ...]:
    """The faces found in a redacted picture that are `exposed`."""
    bare = exposed(found.boxes[found.class_ids == Target.FACE], regions, spared)
    return tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in bare.tolist())


def exposed(boxes: F32, regions: Sequence[Region], spared: Sequence[Box] = ()) -> F32:
    """The boxes (N, 4), in pixels, of which the boxes around the regions, polygons aside, cover less than half.

    What lies on the faces `spared`, with as much again around them as models disagree by, is bare on purpose.
    """
    masks = np.array([region.box for region in regions if region.outline is None], np.float32).reshape(-1, 4)
    faces = np.array(spared, np.float32).reshape(-1, 4)
    margins = np.float32(SPARED_MARGIN) * (faces[:, 2:] - faces[:, :2])
    masks = np.concatenate([masks, np.concatenate([faces[:, :2] - margins, faces[:, 2:] + margins], axis=1)])
    bare = [box for box in boxes if _masked_share(box, masks) < LEAST_MASKED]
    return np.array(bare, np.float32).reshape(-1, 4)


def _masked_share(box: F32, masks: F32) -> float:
    """How much of the box the union of the masks covers, on a grid of 16 x 16 points: exact to a few per cent."""
    x, y = (start + (end - start) * (np.arange(16) + 0.5) / 16 for start, end in ((box[0], box[2]), (box[1], box[3])))
    is_within_x = (x >= masks[:, None, 0]) & (x < masks[:, None, 2])
    is_within_y = (y >= masks[:, None, 1]) & (y < masks[:, None, 3])
    return float((is_within_y[:, :, None] & is_within_x[:, None, :]).any(axis=0).mean())
