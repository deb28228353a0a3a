"""The effect `noise`: random blocks that have nothing to do with the picture."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.redact.effect import Cover, Patch
from anonymizer.types import U8, Planes

LUMA = (16, 236)  # from, up to but not including
CHROMA = (96, 160)


class Noise:
    """One sheet of noise, drawn anew by every process, that stands still behind all regions.

    Still noise costs the encoder little, and a mask shows a part of it wherever it moves. The sheet owes nothing to any
    picture, so there is nothing to undo; its seed comes from the operating system all the same.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng()  # without a seed it asks the operating system
        self._sheet: Planes | None = None

    def cover(self, patch: Patch) -> Cover:
        """A part of the sheet."""
        if self._sheet is None or self._sheet.size != patch.picture.size:
            self._sheet = self._draw(*patch.picture.u.shape)
        source = patch.cut(self._sheet)
        return Cover(source.y, source.u, source.v)

    def _draw(self, height: int, width: int) -> Planes:
        def plane(span: tuple[int, int]) -> U8:
            return self._rng.integers(*span, (height, width), dtype=np.uint8)

        luma = cv2.resize(plane(LUMA), (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
        return Planes(np.asarray(luma, np.uint8), plane(CHROMA), plane(CHROMA))
