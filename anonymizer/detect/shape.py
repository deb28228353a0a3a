"""A person's outline out of the mask that a model drew of a crop, or none where the mask is not to be trusted; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from anonymizer.types import F32, U8

UNSURE_LOGIT = 2.2  # sigmoid 0.1 to 0.9: pixels between are unsure
MOST_UNSURE = 0.25  # of the shape's pixels
LEAST_FILL, MOST_FILL = 0.2, 0.95  # of the box, by the shape
LEAST_REACH = 0.8  # of the box's width and height, by the shape's own
MOST_BESIDE = 0.1  # of the shape, outside the box grown by SLACK, and outside its largest piece
SLACK = 0.1  # of the box's sides
GROWTH = 0.04  # of the box's height, all around: what masks miss of hands, hair and hems
LEAST_GROWTH_PX = 3
CORNER_PX = 0.75  # how far the polygon may leave the mask's border; less than it was grown by

Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Part of a mask, in its pixels; right and bottom exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    def grown(self, share: float) -> Rectangle:
        """The rectangle with so much of its width and height more on each side."""
        dx, dy = share * (self.right - self.left), share * (self.bottom - self.top)
        return Rectangle(self.left - dx, self.top - dy, self.right + dx, self.bottom + dy)

    def of(self, mask: U8) -> U8:
        """The pixels of a mask (H, W) that it touches."""
        rows = slice(max(math.floor(self.top), 0), max(math.ceil(self.bottom), 0))
        return mask[rows, max(math.floor(self.left), 0) : max(math.ceil(self.right), 0)]


def trace(logits: F32, person: Rectangle, picture: Rectangle) -> Polygon | None:
    """The polygon, in pixels of the mask, around the person that a mask of logits (H, W) shows.

    `person` is the detector's box, `picture` where the mask shows picture and no padding. None where the mask is
    unsure, covers too little or too much of the box, does not reach its sides, lies beside it or in pieces, or touches
    the border, beyond which it might go on.
    """
    shape: U8 = (logits > 0).astype(np.uint8)
    pixels = int(shape.sum())
    box_pixels = (person.right - person.left) * (person.bottom - person.top)
    if not np.isfinite(logits).all() or not LEAST_FILL <= pixels / max(box_pixels, 1.0) <= MOST_FILL:
        return None
    is_unsure = int((np.abs(logits) < UNSURE_LOGIT).sum()) > MOST_UNSURE * pixels
    is_beside = int(person.grown(SLACK).of(shape).sum()) < (1 - MOST_BESIDE) * pixels
    if is_unsure or is_beside or _touches_border(shape, picture) or not _reaches(shape, person):
        return None
    radius = max(math.ceil(GROWTH * (person.bottom - person.top)), LEAST_GROWTH_PX)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown = cv2.dilate(cv2.copyMakeBorder(shape, radius, radius, radius, radius, cv2.BORDER_CONSTANT), disc)
    pieces, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    areas = [cv2.contourArea(piece) for piece in pieces]
    if max(areas) < (1 - MOST_BESIDE) * sum(areas):
        return None
    corners = cv2.approxPolyDP(pieces[int(np.argmax(areas))], CORNER_PX, closed=True)[:, 0, :]
    return tuple((x - radius + 0.5, y - radius + 0.5) for x, y in corners.tolist())


def _touches_border(shape: U8, picture: Rectangle) -> bool:
    inner = picture.of(shape)
    return bool(inner[0].any() or inner[-1].any() or inner[:, 0].any() or inner[:, -1].any())


def _reaches(shape: U8, person: Rectangle) -> bool:
    """Whether the shape within the box is about as wide and as high as the box."""
    _, _, width, height = cv2.boundingRect(person.of(shape))
    return width >= LEAST_REACH * (person.right - person.left) and height >= LEAST_REACH * (person.bottom - person.top)
