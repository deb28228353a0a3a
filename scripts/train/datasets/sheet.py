"""Shows labelled pictures on one sheet: boxes in the colour of their class, ignored ones dotted."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymizer.types import U8
from scripts.train.augment.warp import affine, warp
from scripts.train.picture import Picture

_COLOURS = ((0, 158, 115), (213, 94, 0), (0, 114, 178), (204, 121, 167), (230, 159, 0))  # RGB, Okabe and Ito
_DOT_PX = 6


def draw_labels(picture: Picture, names: Sequence[str]) -> U8:
    """A copy (H, W, 3) RGB with the boxes and their classes' names."""
    image = picture.image.copy()
    labels = zip(picture.boxes.round().astype(int).tolist(), picture.class_ids.tolist(), picture.ignore, strict=True)
    for (x1, y1, x2, y2), class_id, ignored in labels:
        colour = _COLOURS[class_id % len(_COLOURS)]
        if ignored:
            _dotted(image, (x1, y1, x2, y2), colour)
        else:
            cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2 if y2 - y1 > 24 else 1)
        if y2 - y1 > 24:
            cv2.putText(image, names[class_id], (x1, y1 - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
    return image


def _dotted(image: U8, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = box
    for x in range(x1, x2, 2 * _DOT_PX):
        for y in (y1, y2):
            cv2.line(image, (x, y), (min(x + _DOT_PX, x2), y), colour, 1)
    for y in range(y1, y2, 2 * _DOT_PX):
        for x in (x1, x2):
            cv2.line(image, (x, y), (x, min(y + _DOT_PX, y2)), colour, 1)


def contact_sheet(pictures: Sequence[Picture], names: Sequence[str], *, columns: int = 4, cell_px: int = 320) -> U8:
    """(H, W, 3) RGB: each picture fitted into a square cell, row by row."""
    cells = [draw_labels(_fitted(picture, cell_px), names) for picture in pictures]
    blank = np.full((cell_px, cell_px, 3), 255, np.uint8)
    cells += [blank] * (-len(cells) % columns)
    if not cells:
        return blank
    rows = [np.concatenate(cells[at : at + columns], axis=1) for at in range(0, len(cells), columns)]
    return np.concatenate(rows)


def _fitted(picture: Picture, cell_px: int) -> Picture:
    size = np.array(picture.image.shape[1::-1], np.float64)
    matrix = affine(zoom=float(cell_px / size.max()), about=size / 2, to=np.full(2, cell_px / 2))
    return warp(picture, matrix, cell_px, cell_px, fill=255, min_visible=0, min_side_px=0)
