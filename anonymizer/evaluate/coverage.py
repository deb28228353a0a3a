"""How much of the ground truth is masked, and how much else."""

from __future__ import annotations

import numpy as np

from anonymizer.evaluate.sample import Flags
from anonymizer.redact.area import make_area
from anonymizer.redact.outline import stencil_of
from anonymizer.types import F32, U8, RedactionPlan, Size

FACE_COVERED = 0.9  # share of a face's box that masks must cover
PERSON_COVERED = 0.8
HEAD_COVERED = 0.9


def mask_of_plan(plan: RedactionPlan, size: Size) -> Flags:
    """The luma pixels (H, W) that the redactor changes, by the redactor's own outlines."""
    mask = np.full((size.height, size.width), plan.whole_frame is not None, np.bool_)
    for region in plan.regions:
        area = make_area(region.box, size)
        if area is not None:
            window = np.s_[2 * area.y1 : 2 * area.y2, 2 * area.x1 : 2 * area.x2]
            stencil = stencil_of(region, area)
            if stencil is None:
                mask[window] = True
            else:
                mask[window] |= stencil.repeat(2, axis=0).repeat(2, axis=1) != 0
    return mask


def mask_of_colour(anonymized: U8, original: U8, fill: tuple[int, int, int], tolerance: int) -> Flags:
    """The pixels (H, W) that have the fill colour (B, G, R) and had another before; both pictures are (H, W, 3) BGR.

    `tolerance`, in levels of each channel, allows for lossy files.
    """
    return _shows(anonymized, fill, tolerance) & ~_shows(original, fill, tolerance)


def _shows(picture: U8, fill: tuple[int, int, int], tolerance: int) -> Flags:
    distance = np.abs(picture.astype(np.int16) - np.array(fill, np.int16)).max(axis=2)
    shows: Flags = distance <= tolerance
    return shows


def heads(persons: F32) -> F32:
    """The head of each person's box (N, 4): its top quarter, the middle half of its width."""
    width, height = persons[:, 2] - persons[:, 0], persons[:, 3] - persons[:, 1]
    x1, y1 = persons[:, 0], persons[:, 1]
    return np.stack([x1 + width / 4, y1, x1 + width * 3 / 4, y1 + height / 4], axis=1)


def covered_share(mask: Flags, boxes: F32) -> F32:
    """Share (N,) of each box's pixels that lie in the mask (H, W); a box has every pixel that it touches.

    Boxes (N, 4) lie in the picture and have an area.
    """
    patches = [mask[rows, columns] for rows, columns in map(_pixels, boxes.tolist())]
    return np.array([patch.mean() if patch.size else 0.0 for patch in patches], np.float32)


def over_mask_share(mask: Flags, boxes: F32) -> float:
    """Masked pixels outside all boxes (N, 4), as a share of the picture."""
    outside = mask.copy()
    for rows, columns in map(_pixels, boxes.tolist()):
        outside[rows, columns] = False
    return float(outside.mean())


def _pixels(box: list[float]) -> tuple[slice, slice]:
    x1, y1, x2, y2 = box
    return slice(int(y1), int(np.ceil(y2))), slice(int(x1), int(np.ceil(x2)))
