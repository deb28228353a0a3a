"""The effect `fill`: one flat colour, nothing of the region is left."""

from __future__ import annotations

import numpy as np

from anonymizer.redact.grid import Grid
from anonymizer.types import U8


def fill(patch: U8, _grid: Grid, level: int) -> U8:
    """A patch of the same shape in one level."""
    return np.full_like(patch, level)
