"""The interface of an effect."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from anonymizer.redact.area import Area
from anonymizer.types import U8, Colour, Planes


class Patch(NamedTuple):
    """The visible part of one region, and what lies around it."""

    planes: Planes  # the region's own pixels: views of `picture`
    picture: Planes  # the whole picture as it is by now
    area: Area
    colour: Colour
    track: tuple[int, int] | None  # epoch and number of the track that the region follows

    def cut(self, picture: Planes) -> Planes:
        """The same part of another picture of this size."""
        return cut(picture, self.area)


class Cover(NamedTuple):
    """What hides a patch, as large as it; luma may come in half the rows, each of which then stands for two."""

    y: U8
    u: U8
    v: U8

    @property
    def luma_rows(self) -> tuple[U8, U8]:
        """What hides the even rows of luma, and what the odd ones."""
        halved = self.y.shape[0] == self.u.shape[0]
        return (self.y, self.y) if halved else (self.y[0::2], self.y[1::2])

    def planes(self) -> Planes:
        """A copy with all rows of luma."""
        even, odd = self.luma_rows
        luma = np.stack((even, odd), axis=1).reshape(-1, even.shape[1])
        return Planes(luma, self.u.copy(), self.v.copy())


class PatchEffect(Protocol):
    """Turns a patch into a picture that tells no more than a few coarse, rounded means of it."""

    def cover(self, patch: Patch) -> Cover:
        """What to lay over the patch, which stays as it is."""
        ...


def cut(picture: Planes, area: Area) -> Planes:
    """Views of the visible part of an area."""
    x1, y1, x2, y2 = area.x1, area.y1, area.x2, area.y2
    return Planes(
        picture.y[2 * y1 : 2 * y2, 2 * x1 : 2 * x2],
        picture.u[y1:y2, x1:x2],
        picture.v[y1:y2, x1:x2],
    )
