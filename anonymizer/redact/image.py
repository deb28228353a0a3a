"""The effect `image`: a picture, such as an emoji or a logo, on a flat ground."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.redact.area import Area
from anonymizer.redact.colour import yuv_of
from anonymizer.redact.effect import Cover, Patch, PatchEffect, pairs
from anonymizer.types import F32, U8, Colour

F64 = NDArray[np.float64]

MAX_SIDE = 4096  # of the picture in a file, in pixels
LARGEST = 512  # side to which larger pictures are scaled down, in pixels


def decode_picture(data: bytes) -> U8:
    """B, G, R and opacity (H, W, 4) of a picture file (PNG, JPEG, WebP, ...); raises ValueError."""
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:
        found = None
    if found is None:
        raise ValueError("is no picture that can be read; save it as PNG")
    if max(found.shape[:2]) > MAX_SIDE:
        raise ValueError(f"is larger than {MAX_SIDE}x{MAX_SIDE} pixels; scale it down")
    if found.dtype == np.uint16:
        found = (found // 256).astype(np.uint8)
    if found.dtype != np.uint8:
        raise ValueError("has pixels of an unusual kind; save it as PNG with 8 bits a channel")
    if found.ndim == 2:
        found = cv2.cvtColor(found, cv2.COLOR_GRAY2BGRA)
    elif found.shape[2] == 3:
        found = cv2.cvtColor(found, cv2.COLOR_BGR2BGRA)
    return np.asarray(found, np.uint8)


class Image:
    """Paints a picture, as large as fits into the region, on a ground that another effect paints.

    Where the picture is transparent, the ground shows, never the region.
    """

    def __init__(self, data: bytes, ground: PatchEffect) -> None:
        self._picture = decode_picture(data)
        self._ground = ground
        self._sizes = functools.lru_cache(maxsize=4)(self._draw)

    def cover(self, patch: Patch) -> Cover:
        """The picture on the ground."""
        out = self._ground.cover(patch).planes()
        sizes, area = self._sizes(patch.colour), patch.area
        for scale, indices, targets in ((2, (0,), (out.y,)), (1, (1, 2), (out.u, out.v))):
            drawing, fit = _fitting(sizes, area, scale)
            weights = _weights(_placed(drawing.opacity, fit, targets[0]))
            for index, target in zip(indices, targets, strict=True):
                target[...] = cv2.blendLinear(_placed(drawing.yuv[index], fit, target), target, *weights)
        luma = pairs(out.y)
        return Cover(luma[0::2], luma[1::2], out.u, out.v)

    def _draw(self, colour: Colour) -> tuple[_Drawing, ...]:
        """The picture at full size, at half of it, at a quarter, and so on."""
        picture = self._picture.astype(np.float32)
        picture[..., :3] *= (
            picture[..., 3:] / 255
        )  # else the colour of transparent pixels bleeds in when it is scaled down
        scale = min(LARGEST / max(picture.shape[:2]), 1.0)
        drawings = []
        while True:
            width, height = (max(round(scale * side), 1) for side in (picture.shape[1], picture.shape[0]))
            small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            opacity = small[..., 3]
            rgb = np.clip(small[..., 2::-1] * (255 / np.maximum(opacity, 1.0))[..., None], 0, 255)
            yuv = yuv_of(rgb.astype(np.uint8), colour)
            planes = (yuv[..., 0].copy(), yuv[..., 1].copy(), yuv[..., 2].copy())
            drawings.append(_Drawing(planes, opacity.astype(np.uint8)))
            if max(width, height) <= 2:
                return tuple(drawings)
            scale /= 2


@dataclass(frozen=True, slots=True, eq=False)
class _Drawing:
    """The picture at one size: four planes (H, W)."""

    yuv: tuple[U8, U8, U8]
    opacity: U8


def _fitting(sizes: tuple[_Drawing, ...], area: Area, scale: int) -> tuple[_Drawing, F64]:
    """The smallest drawing that need not be enlarged, and the matrix (2, 3) that centres it on the patch."""
    room_width, room_height = scale * area.full_width, scale * area.full_height
    height, width = sizes[0].opacity.shape
    shown = min(room_width / width, room_height / height)
    drawing = sizes[0]
    for smaller in sizes[1:]:
        if smaller.opacity.shape[1] < shown * width:
            break
        drawing = smaller
    zoom = shown * width / drawing.opacity.shape[1], shown * height / drawing.opacity.shape[0]
    left = scale * (area.full_x1 - area.x1) + (room_width - shown * width) / 2
    top = scale * (area.full_y1 - area.y1) + (room_height - shown * height) / 2
    matrix = [[zoom[0], 0, left + (zoom[0] - 1) / 2], [0, zoom[1], top + (zoom[1] - 1) / 2]]
    return drawing, np.array(matrix)


def _placed(plane: U8, matrix: F64, target: U8) -> U8:
    height, width = target.shape
    return np.asarray(cv2.warpAffine(plane, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


def _weights(opacity: U8) -> tuple[F32, F32]:
    share = opacity.astype(np.float32) / np.float32(255)
    return share, 1 - share
