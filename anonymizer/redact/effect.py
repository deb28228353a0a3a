"""The interface of an effect."""

from __future__ import annotations

from typing import Protocol

from anonymizer.redact.grid import Grid
from anonymizer.types import U8


class PatchEffect(Protocol):
    """Turns a patch of one plane into a picture that tells no more than the means of the grid's cells."""

    def __call__(self, patch: U8, grid: Grid, level: int, out: U8) -> None:
        """Write every pixel of `out`, which has the patch's shape and may be the patch itself.

        `level` is the plane's neutral value.
        """
        ...
