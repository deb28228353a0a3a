"""The interface of an effect."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from anonymizer.redact.area import Area
from anonymizer.types import U8, Colour, Planes

Pairs = NDArray[np.uint16]


class Patch(NamedTuple):
    """The visible part of one region, and what lies around it."""

    picture: Planes  # the whole picture as it is by now
    area: Area  # of the patch
    colour: Colour
    track: tuple[int, int] | None  # epoch and number of the track that the region follows


class Cover(NamedTuple):
    """What hides a patch: four arrays of its size in chroma pixels; two pixels of luma, side by side, are as one."""

    even: Pairs  # every second row of luma, from the first
    odd: Pairs  # and those between
    u: U8
    v: U8

    def cut(self, area: Area) -> Cover:
        """Views of the visible part of an area of what hides a whole picture."""
        part = slice(area.y1, area.y2), slice(area.x1, area.x2)
        return Cover(self.even[part], self.odd[part], self.u[part], self.v[part])

    def planes(self) -> Planes:
        """A copy in planes."""
        height, width = self.u.shape
        luma = np.stack((self.even, self.odd), axis=1).view(np.uint8)
        return Planes(luma.reshape(2 * height, 2 * width), self.u.copy(), self.v.copy())


class PatchEffect(Protocol):
    """Turns a patch into a picture that tells no more than a few coarse, rounded means of it."""

    def cover(self, patch: Patch) -> Cover:
        """What to lay over the patch, which stays as it is."""
        ...


def cover_of(lines: U8) -> Cover:
    """The cover whose Y, U and V lie side by side (height, 2 + 1 + 1 widths); each row of luma stands for two."""
    width = lines.shape[1] // 4
    luma = pairs(lines)[:, :width]
    return Cover(luma, luma, lines[:, 2 * width : 3 * width], lines[:, 3 * width :])


def pairs(plane: U8) -> Pairs:
    """A view in which two pixels are one."""
    return plane.view(np.uint16)


def cut(picture: Planes, area: Area) -> Planes:
    """Views of the visible part of an area."""
    x1, y1, x2, y2 = area.x1, area.y1, area.x2, area.y2
    return Planes(
        picture.y[2 * y1 : 2 * y2, 2 * x1 : 2 * x2],
        picture.u[y1:y2, x1:x2],
        picture.v[y1:y2, x1:x2],
    )
