"""The interface of an effect."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from anonymizer.redact.area import Area
from anonymizer.types import Colour, Planes


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


class PatchEffect(Protocol):
    """Turns a patch into a picture that tells no more than a few coarse, rounded means of it."""

    def paint(self, patch: Patch, out: Planes) -> None:
        """Write every pixel of `out`, which has the size of the patch and may be the patch itself."""
        ...


def cut(picture: Planes, area: Area) -> Planes:
    """Views of the visible part of an area."""
    x1, y1, x2, y2 = area.x1, area.y1, area.x2, area.y2
    return Planes(
        picture.y[2 * y1 : 2 * y2, 2 * x1 : 2 * x2],
        picture.u[y1:y2, x1:x2],
        picture.v[y1:y2, x1:x2],
    )
