"""Turns a face into an embedding: 128 numbers that lie close together for pictures of one person.

Two embeddings belong to the same person when their Euclidean distance is below about 0.6 (dlib's own figure; on 55
chips of 5 people that nobody was trained on, same 0.21-0.43, other 0.69 and more). Usable as it stands; whoever uses
it for consent has to calibrate a threshold of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.identify.chip import cut_chip
from anonymizer.lifecycle import Resource
from anonymizer.types import F32, U8, Colour, Planes, Size

LEAST_LENGTH, GREATEST_LENGTH = 0.5, 3.0  # of an embedding that a working model gives for any picture


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

    def embed(self, planes: Planes, colour: Colour, box: tuple[float, float, float, float]) -> F32:
        """The embedding (D,) of the face in a box of the face detector, source pixels.

        Raises ValueError for an impossible box, InvalidOutputError, ModelError.
        """
        return self.embed_chip(cut_chip(planes, colour, box, self._side_px))

    def embed_chip(self, chip: U8) -> F32:
        """The embedding (D,) of a chip, RGB of the model's size; raises InvalidOutputError, ModelError."""
        (output,) = self._model.run(chip).values()
        embedding = output.reshape(-1)
        length = float(np.linalg.norm(embedding))
        if not LEAST_LENGTH < length < GREATEST_LENGTH:  # NaN is neither
            sane = f"{LEAST_LENGTH} to {GREATEST_LENGTH}"
            raise InvalidOutputError(f"an embedding has the length {length}, which is not within {sane}")
        return embedding

    def close(self) -> None:
        """Free the model; idempotent."""
        self._model.close()


def distances(one: F32, others: F32) -> F32:
    """Euclidean distances (N,) from one embedding (D,) to others (N, D)."""
    lengths: F32 = np.linalg.norm(others - one, axis=1)
    return lengths
