"""Regions, the finest pictures there are, and what a whole mosaic looks like."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.types import (
    U8,
    Effect,
    Frame,
    Planes,
    Reason,
    RedactedFrame,
    RedactionPlan,
    Region,
    Shape,
    Size,
)
from tests.fakes import make_frame

Box = tuple[float, float, float, float]
SMALL = Size(320, 180)


every_look = pytest.mark.parametrize(("effect", "shape"), list(itertools.product(Effect, Shape)))


def region(box: Box, effect: Effect = Effect.MOSAIC, shape: Shape = Shape.BOX) -> Region:
    return Region(box, shape, effect, Reason.DETECTION)


def redact(frame: Frame, *regions: Region, **options: object) -> RedactedFrame:
    return Redactor(RedactSettings(**options)).redact(frame, RedactionPlan(frame.seq, regions))


def chequered(width: int, height: int) -> Frame:
    """The finest detail there is: every pixel of each plane differs from its neighbours by 255."""

    def plane(w: int, h: int) -> U8:
        return np.asarray((np.indices((h, w)).sum(axis=0) % 2) * 255, np.uint8)

    return make_frame(
        planes=Planes(plane(width, height), plane(width // 2, height // 2), plane(width // 2, height // 2))
    )


def changes(plane: np.ndarray, axis: int) -> int:
    """How many times a plane changes from one row (axis 0) or column (axis 1) to the next."""
    return int(np.any(np.diff(plane.astype(int), axis=axis) != 0, axis=1 - axis).sum())


def is_whole_mosaic(result: RedactedFrame) -> bool:
    return all(
        changes(plane, 0) < 12 and changes(plane, 1) < 12 and min(changes(plane, 0), changes(plane, 1)) < 6
        for plane in (result.planes.y, result.planes.u, result.planes.v)
    )
