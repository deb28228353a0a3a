"""A photo of a face as cameras might show it: mirrored, turned, lit, shrunk, compressed, cut differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from anonymizer.types import U8, Box

MARGINS = (0.92, 1.0, 1.08)  # side of the box, in sides of the detector's
TURNS = (-8.0, 8.0)  # degrees
LIGHTS = (0.6, 1.5)  # gamma
SMALL_PX = 64  # height to which a larger face is shrunk
JPEG_QUALITY = 40
AROUND = 1.5  # how far from the middle of the face a picture is kept, in longer sides of its box


def variants(picture: U8, box: Box) -> Iterator[tuple[U8, Box]]:
    """Pictures (H, W, 3) BGR with even sides, and where the face is in each; the photo itself comes first.

    `picture` is BGR, `box` the face in it: x1, y1, x2, y2 in its pixels. Each change is made to the photo and to its
    mirror image.
    """
    around, face = _cut(picture, box)
    for photo, place in ((around, face), (np.ascontiguousarray(around[:, ::-1]), _mirrored(face, around.shape[1]))):
        for margin in sorted(MARGINS, key=lambda k: abs(k - 1)):
            yield photo, _grown(place, margin)
        for change in _CHANGES:
            yield change(photo, place)


def _cut(picture: U8, box: Box) -> tuple[U8, Box]:
    """The face with its surroundings, and its box there; where the photo ends its edge is repeated."""
    x1, y1, x2, y2 = box
    reach = AROUND * max(x2 - x1, y2 - y1)
    left, top = round((x1 + x2) / 2 - reach), round((y1 + y2) / 2 - reach)
    side = 2 * round(reach)
    height, width = picture.shape[:2]
    edges = (max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0))
    whole = cv2.copyMakeBorder(picture, *edges, cv2.BORDER_REPLICATE)
    rows, columns = top + edges[0], left + edges[2]
    cut = np.asarray(whole[rows : rows + side, columns : columns + side], np.uint8)
    return cut, (x1 - left, y1 - top, x2 - left, y2 - top)


def _mirrored(box: Box, width: int) -> Box:
    x1, y1, x2, y2 = box
    return width - x2, y1, width - x1, y2


def _grown(box: Box, factor: float) -> Box:
    x1, y1, x2, y2 = box
    x, y, dx, dy = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) * factor / 2, (y2 - y1) * factor / 2
    return x - dx, y - dy, x + dx, y + dy


def _turned(degrees: float) -> Callable[[U8, Box], tuple[U8, Box]]:
    def turn(photo: U8, box: Box) -> tuple[U8, Box]:
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        matrix = cv2.getRotationMatrix2D(middle, degrees, 1.0)
        size = (photo.shape[1], photo.shape[0])
        return np.asarray(cv2.warpAffine(photo, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8), box

    return turn


def _lit(gamma: float) -> Callable[[U8, Box], tuple[U8, Box]]:
    table = np.clip(255 * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    return lambda photo, box: (np.asarray(cv2.LUT(photo, table), np.uint8), box)


def _shrunk(photo: U8, box: Box) -> tuple[U8, Box]:
    scale = min(SMALL_PX / (box[3] - box[1]), 1.0)
    width, height = (2 * max(round(side * scale / 2), 1) for side in (photo.shape[1], photo.shape[0]))
    small = np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    across, down = width / photo.shape[1], height / photo.shape[0]
    return small, (box[0] * across, box[1] * down, box[2] * across, box[3] * down)


def _compressed(photo: U8, box: Box) -> tuple[U8, Box]:
    _, data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), box


_CHANGES = (*(_turned(degrees) for degrees in TURNS), *(_lit(gamma) for gamma in LIGHTS), _shrunk, _compressed)
