"""Turns a face into an embedding: 128 numbers that lie close together for pictures of one person.

Two embeddings belong to the same person when their Euclidean distance is below about 0.6 (dlib's own figure; on 55
chips of 5 people that nobody was trained on, same 0.21-0.43, other 0.69 and more). Usable as it stands; whoever uses
it for consent has to calibrate a threshold of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.identify.chip import cut_chip
from anonymizer.lifecycle import Resource
from anonymizer.types import F32, U8, Colour, Planes, Size

ASYMMETRY = 0.2  # of a face that is seen from the front, at most
MOST_ASYMMETRY = 0.25  # of one that is turned a little
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
        return self.embed_chip(self.chip(planes, colour, box))

    def chip(self, planes: Planes, colour: Colour, box: tuple[float, float, float, float]) -> U8:
        """What `embed_chip` takes, of the face in a box; raises ValueError for an impossible one."""
        return cut_chip(planes, colour, box, self._side_px)

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


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What there is to tell somebody by."""

    embedding: F32  # (D,) of length 1: the mean of the face's and its mirror image's
    asymmetry: float  # distance between those two, 0-2


def look_at(chip: U8, embedder: FaceEmbedder) -> Look:
    """Embed a chip and its mirror image; raises InvalidOutputError, ModelError.

    People who look sideways are like each other, and unlike themselves from the front; the embeddings of their mirror
    images lie further from theirs than ASYMMETRY.
    """
    seen, mirrored = (unit(embedder.embed_chip(each)) for each in (chip, np.ascontiguousarray(chip[:, ::-1])))
    return Look(unit(seen + mirrored), float(np.linalg.norm(seen - mirrored)))


def unit(embedding: F32) -> F32:
    """The embedding (D,) with length 1, which keeps people apart a little better."""
    scaled: F32 = embedding / np.float32(np.linalg.norm(embedding))
    return scaled


def distances(one: F32, others: F32) -> F32:
    """Euclidean distances (N,) from one embedding (D,) to others (N, D)."""
    lengths: F32 = np.linalg.norm(others - one, axis=1)
    return lengths
