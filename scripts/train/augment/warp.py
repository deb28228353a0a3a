"""Moves a picture and its boxes by one affine map: flip, rotation, shear, zoom and shift in one resampling."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, U8
from scripts.train.picture import Picture

F64 = NDArray[np.float64]


def affine(
    *, degrees: float = 0.0, shear: float = 0.0, zoom: float = 1.0, flip: bool = False, about: F64, to: F64
) -> F64:
    """The map (2, 3) from source to canvas pixels that turns about a source point and puts it on a canvas point.

    `shear`: pixels to the right for each pixel down. Turning is counter-clockwise on the screen.
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cos, sin], [-sin, cos]])
    slant = np.array([[1.0, shear], [0.0, 1.0]])
    mirror = np.diag([-1.0 if flip else 1.0, 1.0])
    linear = zoom * turn @ slant @ mirror
    return np.concatenate([linear, (to - linear @ about)[:, None]], axis=1)


def warp_boxes(boxes: F32, matrix: F64) -> F32:
    """Boxes (N, 4) around the moved ellipses that fill the source boxes.

    Faces and bodies are round: the box around the moved corners would grow by a third at 15 degrees and teach a
    detector loose boxes. Without rotation and shear both are the same.
    """
    wide = boxes.astype(np.float64)
    centres = (wide[:, :2] + wide[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    # the half extents of an ellipse under a linear map A: the row norms of A diag(a, b)
    halves = np.sqrt(((wide[:, 2:] - wide[:, :2]) / 2) ** 2 @ (matrix[:, :2] ** 2).T)
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def warp_image(image: U8, matrix: F64, width: int, height: int, fill: int) -> U8:
    """(height, width, 3): the canvas under the map, `fill` where there is no source; shrinks without aliasing."""
    inverse = np.linalg.inv(matrix[:, :2])
    corners = (np.array([[0, 0], [width, 0], [0, height], [width, height]]) - matrix[:, 2]) @ inverse.T
    left, top = np.floor(corners.min(axis=0) - 2).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0) + 2).astype(int), [image.shape[1], image.shape[0]])
    if right <= left or bottom <= top:
        return np.full((height, width, 3), fill, np.uint8)
    seen = image[top:bottom, left:right]
    # a canvas pixel is the centre of its square: the map of indices differs from the map of edges by half a pixel
    shifted = matrix[:, 2] + matrix[:, :2] @ np.array([left + 0.5, top + 0.5]) - 0.5
    linear = matrix[:, :2]
    # whole factors only: OpenCV averages them many times faster than others, and a bilinear map can do the rest
    factor = round(1 / math.sqrt(abs(np.linalg.det(linear))))
    if 2 <= factor <= min(seen.shape[:2]):
        size = (seen.shape[1] // factor, seen.shape[0] // factor)
        seen = np.asarray(
            cv2.resize(seen[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA), np.uint8
        )
        shifted = shifted + linear @ np.full(2, factor / 2 - 0.5)
        linear = linear * factor
    index_map = np.concatenate([linear, shifted[:, None]], axis=1)
    border = (float(fill),) * 3
    moved = cv2.warpAffine(
        seen, index_map, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border
    )
    return np.asarray(moved, np.uint8)


def keep_visible(picture: Picture, min_visible: float, min_side_px: float) -> Picture:
    """Boxes cut at the border; ignored if less than a share is visible or a side is too small, gone if nothing is."""
    height, width = picture.image.shape[:2]
    cut = np.clip(picture.boxes, 0, np.array([width, height, width, height], np.float32))
    sides, full = cut[:, 2:] - cut[:, :2], picture.boxes[:, 2:] - picture.boxes[:, :2]
    visible = sides.prod(axis=1) / np.maximum(full.prod(axis=1), 1e-9)
    ignore = picture.ignore | (visible < min_visible) | (sides.min(axis=1, initial=np.inf) < min_side_px)
    kept = (sides > 0).all(axis=1)
    return Picture(picture.image, cut[kept], picture.class_ids[kept], ignore[kept])


def warp(
    picture: Picture,
    matrix: F64,
    width: int,
    height: int,
    *,
    fill: int = 114,
    min_visible: float = 0.4,
    min_side_px: float = 3.0,
) -> Picture:
    """The picture and its labels under the map, on a canvas of a size."""
    image = warp_image(picture.image, matrix, width, height, fill)
    moved = Picture(image, warp_boxes(picture.boxes, matrix), picture.class_ids, picture.ignore)
    return keep_visible(moved, min_visible, min_side_px)
