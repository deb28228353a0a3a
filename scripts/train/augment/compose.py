"""Joins pictures: a mosaic of four, small faces pasted in, masks drawn over the lower half of faces."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from anonymizer.types import F32
from scripts.train.augment.warp import affine, warp
from scripts.train.picture import Picture

_MARGIN = 0.25  # of a pasted face's surroundings, so that hair and shoulders come along


def mosaic(
    pictures: Sequence[Picture],
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    min_visible: float = 0.4,
    min_side_px: float = 3.0,
) -> Picture:
    """Four pictures around a random middle on a canvas of `size` (width, height), each filling its quarter.

    Every picture is scaled to cover its quarter, up to 1.5 times as large, and cut at random. Mosaics of mosaics make
    crowds. Raises ValueError unless there are four.
    """
    if len(pictures) != 4:
        raise ValueError(f"a mosaic is made of 4 pictures, not {len(pictures)}")
    width, height = size
    middle_x, middle_y = (round(side * rng.uniform(0.35, 0.65)) for side in size)
    quarters = [(0, 0, middle_x, middle_y), (middle_x, 0, width, middle_y)]
    quarters += [(0, middle_y, middle_x, height), (middle_x, middle_y, width, height)]
    canvas = np.empty((height, width, 3), np.uint8)
    parts = []
    for picture, (left, top, right, bottom) in zip(pictures, quarters, strict=True):
        part = _covering(picture, right - left, bottom - top, rng, min_visible, min_side_px)
        canvas[top:bottom, left:right] = part.image
        parts.append((part, np.array([left, top, left, top], np.float32)))
    return Picture(
        canvas,
        np.concatenate([part.boxes + shift for part, shift in parts]),
        np.concatenate([part.class_ids for part, _ in parts]),
        np.concatenate([part.ignore for part, _ in parts]),
    )


def _covering(
    picture: Picture, width: int, height: int, rng: np.random.Generator, min_visible: float, min_side_px: float
) -> Picture:
    source = np.array(picture.image.shape[1::-1], np.float64)
    canvas = np.array([width, height], np.float64)
    zoom = float((canvas / source).max()) * math.exp(rng.uniform(0, math.log(1.5)))
    corner = rng.uniform(0, 1, 2) * (source - canvas / zoom).clip(0)
    matrix = affine(zoom=zoom, about=corner, to=np.zeros(2))
    return warp(picture, matrix, width, height, min_visible=min_visible, min_side_px=min_side_px)


def paste_small(
    picture: Picture,
    donors: Sequence[Picture],
    rng: np.random.Generator,
    *,
    count: int = 4,
    height_px: tuple[float, float] = (6.0, 32.0),
    class_id: int = 0,
) -> Picture:
    """The picture with up to `count` shrunken faces of the donors where no box is, heights log-uniform in pixels.

    A face is pasted with its surroundings under a soft edge, and brought half-way to the light of its new place.
    """
    choices = [
        (donor, box)
        for donor in donors
        for box in donor.boxes[(donor.class_ids == class_id) & ~donor.ignore]
        if box[3] - box[1] >= height_px[0]
    ]
    image, boxes = picture.image.copy(), picture.boxes
    for _ in range(count if choices else 0):
        donor, box = choices[int(rng.integers(len(choices)))]
        wanted = math.exp(rng.uniform(*np.log(height_px)))
        patch, inner = _face_patch(donor, box, min(wanted, float(box[3] - box[1])))
        room_y, room_x = (np.array(image.shape[:2]) - patch.shape[:2]).tolist()
        if room_x < 0 or room_y < 0:
            continue
        left, top = int(rng.integers(room_x + 1)), int(rng.integers(room_y + 1))
        here = np.array([left, top, left + patch.shape[1], top + patch.shape[0]], np.float32)
        if _touches(here, boxes):
            continue
        _blend(image[top : top + patch.shape[0], left : left + patch.shape[1]], patch)
        boxes = np.concatenate([boxes, (inner + here[[0, 1, 0, 1]])[None]])
    added = len(boxes) - len(picture.boxes)
    return Picture(
        image,
        boxes,
        np.concatenate([picture.class_ids, np.full(added, class_id, np.int32)]),
        np.concatenate([picture.ignore, np.zeros(added, np.bool_)]),
    )


def _face_patch(donor: Picture, box: F32, height_px: float) -> tuple[np.ndarray, F32]:
    """The face with its surroundings at the height, and the face's box in the patch."""
    sides = box[2:] - box[:2]
    limits = np.array(donor.image.shape[1::-1])
    low = np.floor(box[:2] - _MARGIN * sides).astype(int).clip(0)
    high = np.minimum(np.ceil(box[2:] + _MARGIN * sides).astype(int), limits)
    scale = height_px / float(sides[1])
    size = np.maximum(1, np.round((high - low) * scale)).astype(int)
    source = donor.image[low[1] : high[1], low[0] : high[0]]
    patch = cv2.resize(source, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    inner = (box - np.tile(low, 2)) * np.tile(size / (high - low), 2)
    return patch, np.clip(inner, 0, np.tile(size, 2)).astype(np.float32)


def _touches(box: F32, others: F32) -> bool:
    overlap = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return bool((overlap > 0).all(axis=1).any())


def _blend(place: np.ndarray, patch: np.ndarray) -> None:
    """Lays the patch over the place, in a view of the picture."""
    height, width = patch.shape[:2]
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    # a rounded rectangle: 1 inside the face's box, soft over the margin
    alpha = ((1.0 - (x[None] ** 4 + y[:, None] ** 4)) * 3).clip(0, 1)[..., None]
    light = (place.mean(axis=(0, 1)) + 8) / (patch.mean(axis=(0, 1)) + 8)
    lit = patch * np.sqrt(light).clip(0.5, 1.6)
    place[:] = np.rint(place * (1 - alpha) + lit * alpha).clip(0, 255).astype(np.uint8)


def cover_lower_face(image: np.ndarray, box: F32, rng: np.random.Generator) -> None:
    """Draws a medical mask or a scarf over the lower half of a face, in place."""
    x1, y1, x2, y2 = box.tolist()
    width, height = x2 - x1, y2 - y1
    top = y1 + height * rng.uniform(0.45, 0.62)
    bulge = height * rng.uniform(0.0, 0.1)
    scale = 16  # OpenCV's fixed-point corners keep small faces' masks in shape
    outline = np.array(
        [
            (x1 + width * rng.uniform(0.0, 0.1), top + bulge),
            ((x1 + x2) / 2, top - bulge),  # the bridge of the nose
            (x2 - width * rng.uniform(0.0, 0.1), top + bulge),
            (x2 - width * rng.uniform(0.02, 0.15), y2 - height * rng.uniform(0.1, 0.25)),
            ((x1 + x2) / 2, y2 + height * rng.uniform(0.0, 0.05)),
            (x1 + width * rng.uniform(0.02, 0.15), y2 - height * rng.uniform(0.1, 0.25)),
        ]
    )
    medical = ((175, 205, 225), (235, 235, 235), (35, 35, 40), (140, 190, 190))
    plain = rng.random() < 0.7
    paint = np.array(medical[int(rng.integers(4))] if plain else rng.integers(20, 235, 3), np.float64)
    rows, columns = image[:, :, 0].shape
    low_x, low_y = max(0, math.floor(x1)), max(0, math.floor(y1))
    high_x, high_y = min(columns, math.ceil(x2) + 1), min(rows, math.ceil(y2 + 0.05 * height) + 1)
    place = image[low_y:high_y, low_x:high_x]
    if not place.size:
        return
    cover = np.zeros(place.shape[:2], np.uint8)
    corners = np.round((outline - (low_x, low_y)) * scale - scale / 2).astype(np.int32)
    cv2.fillPoly(cover, [corners], 255, cv2.LINE_AA, 4)
    # cloth takes the light of the face that it hides
    light = place.mean(axis=2, keepdims=True, dtype=np.float32)
    soft = cv2.blur(light, (max(1, round(width / 6)),) * 2)[..., None]
    cloth = paint * (0.35 + 0.65 * (soft / max(float(soft.max()), 1.0)))
    alpha = cover[..., None].astype(np.float32) / 255
    place[:] = np.rint(place * (1 - alpha) + cloth * alpha).clip(0, 255).astype(np.uint8)
