"""The numbers of one run of `slim fit`, and whether a checkpoint is of the same run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from anonymizer.errors import DatasetError

STEPS = "steps"  # what of a recipe may change while a run rests
OLDER = {"closer": False, "blurred": 0.0, "begun": ""}  # of runs from before these could be told


@dataclass(frozen=True, slots=True)
class SlimRecipe:
    """The numbers of one run, kept in its checkpoint."""

    file: str  # sha256 of the one that is narrowed
    keep: float = 0.5  # share of the multiply-adds in front of which channels can go
    steps: int = 6_000
    batch: int = 8
    mean: float = 0.0  # taken off the pixels, as `input` in the manifest says
    rate: float = 1.5e-3  # how far a step moves a tensor's values, as a share of their root mean square
    warmup_steps: int = 50
    average: float = 0.998  # what the averaged weights keep at each step
    seed: int = 1
    closer: bool = False  # whether the teacher looks at pictures twice as large besides
    blurred: float = 0.0  # share of the canvases that are damaged further once the teacher has seen them
    begun: str = ""  # sha256 of the checkpoint that it is narrowed from, if not from the file itself

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to a hundredth."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        return self.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))

    def kept_at(self, step: int) -> float:
        """How much the averaged weights keep: less at first, when the network changes fast."""
        return min(self.average, (1 + step) / (10 + step))


def check_same(own: SlimRecipe, found: Mapping[str, object], path: Path) -> None:
    """Raises DatasetError if a checkpoint's recipe is another; the number of steps may be another."""
    wanted, stored = asdict(own), {**OLDER, **found}
    if stored.keys() != wanted.keys():
        raise DatasetError(f"{path} is no checkpoint of `slim fit`: name another folder by --run")
    names = [name for name in wanted if name != STEPS and stored[name] != wanted[name]]
    if names:
        other = " and ".join(f"{name} {stored[name]}, not {wanted[name]}" for name in names)
        raise DatasetError(f"{path} holds a run with {other}: name another folder by --run")


def checksum(file: bytes) -> str:
    """As the recipe names a file."""
    return hashlib.sha256(file).hexdigest()
