"""What all model families share: the contract of a decoder, its result, and checks of raw output tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anonymizer.errors import InvalidOutputError
from anonymizer.types import F32, I32, Size

ClassIds = Sequence[int | None]  # the class id of each column of the scores; None, or no entry: the column is ignored
Shapes = Mapping[str, tuple[int, ...]]  # of the output tensors, by name


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes before non-maximum suppression; all arrays share N, N may be 0.

    Raises InvalidOutputError when a box or score is NaN or infinite.
    """

    boxes: F32  # (N, 4) x1 y1 x2 y2, input pixels, may reach over the edges
    scores: F32  # (N,) 0-1
    class_ids: I32  # (N,) as in ClassIds

    def __post_init__(self) -> None:
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise InvalidOutputError("decoding the model's output gave boxes or scores that are NaN or infinite")

    def take(self, rows: NDArray[np.bool_]) -> Candidates:
        """The chosen rows."""
        return Candidates(self.boxes[rows], self.scores[rows], self.class_ids[rows])

    def with_others(self, others: Candidates) -> Candidates:
        """These and the others."""
        return Candidates(
            np.concatenate([self.boxes, others.boxes]),
            np.concatenate([self.scores, others.scores]),
            np.concatenate([self.class_ids, others.class_ids]),
        )


class Family(Protocol):
    """Turns the raw output of one kind of model into boxes; pure."""

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Everything scored at or above the threshold; raises InvalidOutputError if any output is suspect."""
        ...


class FamilyMaker(Protocol):
    """What the class of each family offers."""

    def __call__(self, size: Size, class_ids: ClassIds) -> Family:
        """The decoder for one input size."""
        ...

    def columns(self, size: Size, shapes: Shapes) -> int | None:
        """How many classes a model with these outputs scores; None if it is of another family."""
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
    if values.min(initial=0.0) < 0 or values.max(initial=1.0) > 1:
        raise InvalidOutputError(f"the model's output {name!r} holds scores outside 0-1")
    return values


def shapes_of(outputs: Mapping[str, F32]) -> Shapes:
    """The shapes of the outputs, by name."""
    return {name: values.shape for name, values in outputs.items()}


def shapes_error(family: str, outputs: Mapping[str, F32]) -> InvalidOutputError:
    """The error for outputs that no model of this family has."""
    shapes = ", ".join(str(values.shape) for values in outputs.values()) or "none"
    return InvalidOutputError(f"the model's outputs have the shapes {shapes}: not those of a {family} model")


def names_of(shapes: Shapes, shape: tuple[int, ...]) -> list[str]:
    """The outputs that have this shape, in the model's order."""
    return [name for name, found in shapes.items() if found == shape]


def cell_count(size: Size, stride_px: int) -> int:
    """The number of cells in a grid; cells at the right and lower edge may be partial."""
    return -(-size.height // stride_px) * -(-size.width // stride_px)


def cell_centres(size: Size, stride_px: int, offset: float) -> F32:
    """One row (x, y, stride) for each cell of a grid, row by row, in input pixels: x = stride (column + offset)."""
    rows, columns = -(-size.height // stride_px), -(-size.width // stride_px)
    y, x = np.meshgrid(np.arange(rows) + offset, np.arange(columns) + offset, indexing="ij")
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3).astype(np.float32) * np.float32(stride_px)


class Columns:
    """The columns of the scores that are used, and their class ids."""

    def __init__(self, class_ids: ClassIds) -> None:
        wanted = [(column, class_id) for column, class_id in enumerate(class_ids) if class_id is not None]
        self._columns: NDArray[np.intp] = np.array([column for column, _ in wanted], np.intp)
        self._class_ids: I32 = np.array([class_id for _, class_id in wanted], np.int32)
        self._least = len(class_ids)

    def select(self, scores: F32, threshold: float) -> tuple[NDArray[np.intp], F32, I32]:
        """Row, score and class id, (K,) each, of every score (N, columns) at or above the threshold.

        Raises InvalidOutputError when there are fewer columns than classes.
        """
        if scores.shape[1] < self._least:
            raise InvalidOutputError(
                f"the model scores {scores.shape[1]} classes, the manifest names {self._least} of them"
            )
        wanted = scores[:, self._columns]
        rows, found = np.nonzero(wanted >= threshold)
        return rows, wanted[rows, found], self._class_ids[found]

    def class_ids_of(self, columns: NDArray[np.intp]) -> I32:
        """The class id of each column number (N,), -1 where the column is ignored."""
        table = np.full(max(int(columns.max(initial=-1)), int(self._columns.max(initial=-1))) + 1, -1, np.int32)
        table[self._columns] = self._class_ids
        return table[columns]
