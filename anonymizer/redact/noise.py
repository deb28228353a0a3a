"""The effect `noise`: random blocks that have nothing to do with the picture."""

from __future__ import annotations

import numpy as np

from anonymizer.redact.effect import Cover, Patch, pairs
from anonymizer.types import U8

LUMA = (16, 236)  # from, up to but not including
CHROMA = (96, 160)


class Noise:
    """Paints parts of one sheet of noise, as large as the frame, that every process draws anew.

    The sheet stands still while masks move over it, which costs the encoder little. It is independent of every picture,
    so no attack can undo it; its seed comes from the operating system all the same.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng()  # without a seed it asks the operating system
        self._sheet: Cover | None = None

    def cover(self, patch: Patch) -> Cover:
        """The part of the sheet at the patch's place."""
        if self._sheet is None or self._sheet.u.shape != patch.picture.u.shape:
            self._sheet = self._draw(*patch.picture.u.shape)
        return self._sheet.cut(patch.area)

    def _draw(self, height: int, width: int) -> Cover:
        def plane(span: tuple[int, int]) -> U8:
            return self._rng.integers(*span, (height, width), dtype=np.uint8)

        luma = pairs(plane(LUMA).repeat(2, axis=1))
        return Cover(luma, luma, plane(CHROMA), plane(CHROMA))
