"""What every model family shares: the decoder's contract, its result, the check of a raw tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from anonymizer.errors import InvalidOutputError
from anonymizer.types import F32, I32


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes before non-maximum suppression; all arrays share N, N may be 0.

    Raises InvalidOutputError when a box or score is NaN or infinite.
    """

    boxes: F32  # (N, 4) x1 y1 x2 y2, input pixels, may reach over the edges
    scores: F32  # (N,) 0-1
    class_ids: I32  # (N,) values of Target

    def __post_init__(self) -> None:
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise InvalidOutputError("decoding the model's output gave boxes or scores that are NaN or infinite")


class Family(Protocol):
    """Turns the raw output of one kind of model into boxes; pure."""

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Everything scored at or above the threshold; raises InvalidOutputError if any output is suspect."""
        ...


def tensor(outputs: Mapping[str, F32], name: str, shape: tuple[int, ...]) -> F32:
    """The output of that name; raises InvalidOutputError if it is missing, misshapen or not finite throughout."""
    values = outputs.get(name)
    if values is None:
        raise InvalidOutputError(f"the model has no output {name!r}; it has {', '.join(sorted(outputs)) or 'none'}")
    if values.shape != shape:
        raise InvalidOutputError(f"the model's output {name!r} has shape {values.shape}, expected {shape}")
    if not np.isfinite(values).all():
        raise InvalidOutputError(f"the model's output {name!r} holds NaN or infinite values")
    return values


def probabilities(outputs: Mapping[str, F32], name: str, shape: tuple[int, ...]) -> F32:
    """As `tensor`; also raises InvalidOutputError if a value lies outside 0-1."""
    values = tensor(outputs, name, shape)
    if values.min() < 0 or values.max() > 1:
        raise InvalidOutputError(f"the model's output {name!r} holds scores outside 0-1")
    return values
