"""MOTChallenge: a folder with `gt.txt` and the frames in `img1`; read only."""

from __future__ import annotations

from pathlib import Path

from anonymizer.evaluate.readers.mot import read_mot
from scripts.train.datasets.product import from_product
from scripts.train.datasets.training_set import TrainingSet


def read(path: Path, pictures: Path | None = None) -> TrainingSet:
    """The frames in order, nobody's too; raises DatasetError."""
    folder = path if path.is_dir() else path.parent.parent if path.parent.name == "gt" else path.parent
    return from_product(read_mot(folder, pictures), path)
