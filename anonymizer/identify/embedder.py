"""Turns a face into an embedding: 128 numbers that lie close together for pictures of one person.

Two embeddings belong to the same person when their Euclidean distance is below about 0.6 (dlib's own figure; among 55
chips of 5 people whom it was not trained on, those of one person lie 0.21-0.43 apart, of two people 0.69 and more).
The thresholds by which somebody may stay visible are calibrated separately, in `identify.calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.identify.chip import cut_chip
from anonymizer.lifecycle import Resource
from anonymizer.types import F32, U8, Box, Colour, Planes, Size

ASYMMETRY = 0.2  # most of a face that is seen from the front
MOST_ASYMMETRY = 0.25  # most of a face that is turned a little
LEAST_LENGTH, GREATEST_LENGTH = 0.5, 3.0  # of any embedding of a working model


class PictureModel(Protocol):
    """A model that takes one RGB picture; `detect.engine.Engine` is one."""

    @property
    def input_size(self) -> Size:
        """Size of the pictures that `run` takes."""
        ...

    def start(self) -> None:
        """Load the file; raises ModelError."""
        ...

    def run(self, rgb: U8) -> Mapping[str, F32]:
        """Every output by name, as new arrays; raises ModelError."""
        ...

    def close(self) -> None:
        """Free the model; idempotent."""
        ...


class FaceEmbedder(Resource):
    """Embeds faces; constructed anywhere, then used by one thread."""

    def __init__(self, model: PictureModel) -> None:
        self._model = model
        self._side_px = 0

    def start(self) -> None:
        """Load the model; raises ModelError."""
        self._model.start()
        size = self._model.input_size
        if size.width != size.height:
            self._model.close()
            raise ModelError(f"an embedder takes square pictures, this model {size}")
        self._side_px = size.width

    def embed(self, planes: Planes, colour: Colour, box: Box) -> F32:
        """The embedding (D,) of the face in a box of the face detector, source pixels.

        Raises ValueError for an impossible box, InvalidOutputError, ModelError.
        """
        return self.embed_chip(self.chip(planes, colour, box))

    def chip(self, planes: Planes, colour: Colour, box: Box) -> U8:
        """The chip for `embed_chip` of the face in a box; raises ValueError for an impossible one."""
        return cut_chip(planes, colour, box, self._side_px)

    def embed_chip(self, chip: U8) -> F32:
        """The embedding (D,) of a chip, RGB of the model's size; raises InvalidOutputError, ModelError."""
        (output,) = self._model.run(chip).values()
        embedding = output.reshape(-1)
        length = float(np.linalg.norm(embedding))
        if not LEAST_LENGTH < length < GREATEST_LENGTH:  # NaN fails too
            sane = f"{LEAST_LENGTH} to {GREATEST_LENGTH}"
            raise InvalidOutputError(f"an embedding has the length {length}, which is not within {sane}")
        return embedding

    def close(self) -> None:
        """Free the model; idempotent."""
        self._model.close()


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The embedding of a face, and how far the face is turned to the side."""

    embedding: F32  # (D,) of length 1: the mean of those of the face and of its mirror image
    asymmetry: float  # distance between those two, 0-2


def look_at(chip: U8, embedder: FaceEmbedder) -> Look:
    """Embed a chip and its mirror image; raises InvalidOutputError, ModelError.

    Faces turned to the side resemble each other more than they resemble the same people from the front. They are told
    by their mirror images, whose embeddings lie farther from theirs than ASYMMETRY.
    """
    seen, mirrored = (unit(embedder.embed_chip(each)) for each in (chip, np.ascontiguousarray(chip[:, ::-1])))
    return Look(unit(seen + mirrored), float(np.linalg.norm(seen - mirrored)))


def unit(embedding: F32) -> F32:
    """The embedding (D,) scaled to length 1, which separates people a little better."""
    scaled: F32 = embedding / np.float32(np.linalg.norm(embedding))
    return scaled


def distances(one: F32, others: F32) -> F32:
    """Euclidean distances (N,) from one embedding (D,) to others (N, D)."""
    lengths: F32 = np.linalg.norm(others - one, axis=1)
    return lengths
