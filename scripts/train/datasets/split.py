"""Divides a data set into parts so that pictures of one source never end up in two of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from anonymizer.errors import DatasetError
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.picture import Sample

COPY_NUMBER = re.compile(r"_augmented\d+$")  # as `dataset expand` names copies
FRAME_NUMBER = re.compile(r"[_-]?\d+(\.\d+)?$")


def source_of(stem: str) -> str:
    """What a picture was taken from: its name without the number of the frame, `yard_00012000` -> `yard`.

    Names that are nothing but a number are their own source; augmented copies are of their picture's.
    """
    stem = COPY_NUMBER.sub("", stem)
    return FRAME_NUMBER.sub("", stem) or stem


def split_set(
    data: TrainingSet, shares: Mapping[str, float], *, seed: int = 0, by_source: bool = True
) -> dict[str, TrainingSet]:
    """Parts by name; the shares are of the sources and sum to 1, so small sets hit them roughly.

    Where a source goes depends on its name and the seed alone: adding pictures moves none that are there.
    `by_source` False: each picture goes by itself, with its augmented copies. Raises DatasetError.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise DatasetError("the shares of the parts must be positive and sum to 1, like train=0.8 val=0.2")
    parts: dict[str, list[Sample]] = {name: [] for name in shares}
    for sample in data.samples:
        stem = COPY_NUMBER.sub("", sample.path.stem)
        parts[_part_of(source_of(stem) if by_source else stem, shares, seed)].append(sample)
    return {name: TrainingSet(data.classes, tuple(samples)) for name, samples in parts.items()}


def _part_of(source: str, shares: Mapping[str, float], seed: int) -> str:
    digest = hashlib.sha256(f"{seed}/{source}".encode()).digest()
    at = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in shares.items():
        at -= share
        if at < 0:
            return name
    return list(shares)[-1]
