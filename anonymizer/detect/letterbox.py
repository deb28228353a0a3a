"""From the planes of a 4:2:0 picture straight to the RGB input of a model, and boxes back again."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, U8, Colour, Planes, Size


class Fit(enum.StrEnum):
    """How a picture is brought to a model's size."""

    LETTERBOX = "letterbox"  # keeps the aspect; the picture sits at the top left, the rest is black
    STRETCH = "stretch"  # fills the input, aspect lost


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a source picture lies inside a model input."""

    source: Size
    inner: Size  # what the picture covers of the input, from its top-left corner

    @classmethod
    def of(cls, source: Size, model: Size, fit: Fit) -> Letterbox:
        """Placement of a source picture in an input of the model's size."""
        if fit is Fit.STRETCH:
            return cls(source, model)
        scale = min(model.width / source.width, model.height / source.height)
        width, height = round(source.width * scale), round(source.height * scale)
        return cls(source, Size(max(1, width), max(1, height)))

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels for each source pixel, in x and in y; they differ by rounding even if the aspect is kept."""
        return self.inner.width / self.source.width, self.inner.height / self.source.height

    def to_source(self, boxes: F32) -> F32:
        """Boxes (N, 4) in input pixels as boxes in source pixels, not clipped."""
        scale: F32 = np.array(self.scale * 2, np.float32)
        return np.divide(boxes, scale)

    def to_input(self, boxes: F32) -> F32:
        """Boxes (N, 4) in source pixels as boxes in input pixels."""
        scale: F32 = np.array(self.scale * 2, np.float32)
        return np.multiply(boxes, scale)


@cache
def rgb_matrix(colour: Colour) -> NDArray[np.float64]:
    """Y, U, V and 1 to R, G, B in 0-255: (3, 4), from the luma weights of ITU-R BT.601 and BT.709."""
    red, blue = (0.2126, 0.0722) if colour.bt709 else (0.299, 0.114)
    green = 1.0 - red - blue
    luma, chroma, black = (1.0, 1.0, 0.0) if colour.full_range else (255 / 219, 255 / 224, 16.0)
    v_to_red, u_to_blue = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    weights = np.array(
        [
            [luma, 0.0, v_to_red],
            [luma, -u_to_blue * blue / green, -v_to_red * red / green],
            [luma, u_to_blue, 0.0],
        ]
    )
    return np.column_stack([weights, -weights @ [black, 128.0, 128.0]])


def shrink(plane: U8, size: Size, out: U8) -> None:
    """Resize one plane, or a picture of several channels, into `out` (height, width, ...).

    Halves it by 2x2 means as long as four or more source pixels fall on one target pixel, then interpolates linearly.
    Hardly any source pixel is skipped that way, at a tenth of the cost of an area resize by an uneven factor.
    """
    target = size.width * size.height
    while plane.shape[0] % 2 == plane.shape[1] % 2 == 0 and plane.shape[0] * plane.shape[1] >= 4 * target:
        half = (plane.shape[1] // 2, plane.shape[0] // 2)
        plane = cast(U8, cv2.resize(plane, half, interpolation=cv2.INTER_AREA))
    cv2.resize(plane, (size.width, size.height), dst=out, interpolation=cv2.INTER_LINEAR)


class Letterboxer:
    """Makes input pictures for one model; reuses its buffers, used by one thread."""

    def __init__(self, model: Size, fit: Fit) -> None:
        self._model = model
        self._fit = fit
        self._rgb: U8 = np.zeros((0, 0, 3), np.uint8)
        self._yuv: U8 = np.zeros((3, 0, 0), np.uint8)

    def apply(self, planes: Planes, colour: Colour) -> tuple[U8, Letterbox]:
        """RGB (H, W, 3) uint8 of the model's size, valid until the next call, and where the picture lies in it.

        Chroma is taken as centred between its luma samples. Each channel is within 3 of the exact conversion.
        """
        box = Letterbox.of(planes.size, self._model, self._fit)
        width, height = box.inner.width, box.inner.height
        if self._yuv.shape[1:] != (height, width):
            self._yuv = np.empty((3, height, width), np.uint8)
            self._rgb = np.zeros((self._model.height, self._model.width, 3), np.uint8)
        for plane, out in zip((planes.y, planes.u, planes.v), self._yuv, strict=True):
            shrink(plane, box.inner, out)
        cv2.transform(cv2.merge(list(self._yuv)), rgb_matrix(colour), dst=self._rgb[:height, :width])
        return self._rgb, box
