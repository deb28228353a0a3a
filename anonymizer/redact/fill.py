"""The effect `fill`: one flat colour, nothing of the region is left."""

from __future__ import annotations

from anonymizer.redact.grid import Grid
from anonymizer.types import U8


def fill(patch: U8, grid: Grid, level: int, out: U8) -> None:
    """Set every pixel to the level."""
    out.fill(level)
