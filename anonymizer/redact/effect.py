"""The interface of an effect."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anonymizer.redact.area import Area
from anonymizer.types import U8, Colour, Planes

Pairs = NDArray[np.uint16]


class Patch(NamedTuple):
    """The visible part of one region, and the picture that it is in."""

    picture: Planes  # the whole picture, with the masks painted so far
    area: Area
    colour: Colour
    track: tuple[int, int] | None  # epoch and number of the track that the region follows


class Cover(NamedTuple):
    """What is painted over a patch: four arrays (H, W) of its size in chroma pixels."""

    even: Pairs  # the luma rows 0, 2, 4, ...; two pixels side by side are one element
    odd: Pairs  # the luma rows 1, 3, 5, ...
    u: U8
    v: U8

    def cut(self, area: Area) -> Cover:
        """Views of an area's visible part, of the cover of a whole picture."""
        part = slice(area.y1, area.y2), slice(area.x1, area.x2)
        return Cover(self.even[part], self.odd[part], self.u[part], self.v[part])

    def planes(self) -> Planes:
        """A copy in planes."""
        height, width = self.u.shape
        luma = np.stack((self.even, self.odd), axis=1).view(np.uint8)
        return Planes(luma.reshape(2 * height, 2 * width), self.u.copy(), self.v.copy())


class PatchEffect(Protocol):
    """Makes a cover that tells nothing of the patch but, at most, a few coarse, rounded means."""

    def cover(self, patch: Patch) -> Cover:
        """What to paint over the patch, which is left as it is."""
        ...


def cover_of(lines: U8) -> Cover:
    """The cover of rows that hold Y, U and V side by side (H, 2W + W + W); each row of Y is used twice."""
    width = lines.shape[1] // 4
    luma = pairs(lines)[:, :width]
    return Cover(luma, luma, lines[:, 2 * width : 3 * width], lines[:, 3 * width :])


def pairs(plane: U8) -> Pairs:
    """A view of a plane (H, 2W) in which two pixels side by side are one element (H, W)."""
    return plane.view(np.uint16)


def cut(picture: Planes, area: Area) -> Planes:
    """Views of the visible part of an area."""
    x1, y1, x2, y2 = area.x1, area.y1, area.x2, area.y2
    return Planes(
        picture.y[2 * y1 : 2 * y2, 2 * x1 : 2 * x2],
        picture.u[y1:y2, x1:x2],
        picture.v[y1:y2, x1:x2],
    )
