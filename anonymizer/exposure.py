"""Which boxes lie outside the masks of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anonymizer.types import F32, Region

LEAST_MASKED = 0.5  # share of a box: a redacted face that a model still takes for one lies under its mask


def exposed(boxes: F32, regions: Sequence[Region]) -> F32:
    """The boxes (N, 4), in pixels, of which the boxes around the regions, polygons aside, cover less than half."""
    masks = np.array([region.box for region in regions if region.outline is None], np.float32).reshape(-1, 4)
    bare = [box for box in boxes if _masked_share(box, masks) < LEAST_MASKED]
    return np.array(bare, np.float32).reshape(-1, 4)


def _masked_share(box: F32, masks: F32) -> float:
    """How much of the box the union of the masks covers, on a grid of 16 x 16 points: exact to a few per cent."""
    x, y = (start + (end - start) * (np.arange(16) + 0.5) / 16 for start, end in ((box[0], box[2]), (box[1], box[3])))
    is_within_x = (x >= masks[:, None, 0]) & (x < masks[:, None, 2])
    is_within_y = (y >= masks[:, None, 1]) & (y < masks[:, None, 3])
    return float((is_within_y[:, :, None] & is_within_x[:, None, :]).any(axis=0).mean())
