"""Enlarges a data set by augmented copies of its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scripts.train.augment import Augmenter
from scripts.train.datasets.store import save_rgb
from scripts.train.datasets.training_set import TrainingSet, names_of, stems_of
from scripts.train.picture import Sample


def expand(data: TrainingSet, folder: Path, augmenter: Augmenter, *, factor: int, seed: int) -> TrainingSet:
    """Each picture and `factor` - 1 augmented copies, written as NAME_augmentedN.jpg into the folder.

    A copy depends on the picture's name, its number and the seed alone. Raises DatasetError.
    """
    return TrainingSet(data.classes, tuple(_expanded(data, folder, augmenter, factor, seed)))


def _expanded(data: TrainingSet, folder: Path, augmenter: Augmenter, factor: int, seed: int) -> Iterator[Sample]:
    paths = [sample.path for sample in data.samples]
    names, stems = names_of(paths), stems_of(paths)
    for sample in data.samples:
        yield sample
        if factor < 2:
            continue
        name, picture = names[sample.path], sample.load()
        for number in range(1, factor):
            rng = np.random.default_rng([seed, number, *name.encode()])
            changed = augmenter(picture, rng)
            path = folder / f"{stems[sample.path]}_augmented{number}.jpg"
            save_rgb(path, changed.image)
            yield Sample(path, changed.boxes, changed.class_ids, changed.ignore)
