"""Turns what the product's own readers return into samples to train on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.evaluate.sample import PictureFile
from anonymizer.evaluate.sample import Sample as Labelled
from anonymizer.types import Target
from scripts.train.datasets.training_set import TrainingSet, class_of
from scripts.train.picture import Sample


def from_product(pictures: Iterable[Labelled], labels: Path, *, only: Target | None = None) -> TrainingSet:
    """The classes are those that are labelled, or `only`; crowds are ignored boxes.

    Raises DatasetError for frames of a clip, which are no files.
    """
    read = tuple(pictures)
    present = {int(each) for picture in read for each in picture.targets}
    classes = [only] if only is not None else [target for target in Target if int(target) in present]
    number = np.full(len(Target), -1, np.int32)
    number[[int(target) for target in classes]] = np.arange(len(classes))
    samples = []
    for each in read:
        if not isinstance(each.load, PictureFile):
            raise DatasetError(
                f"{labels}: labels frames of a clip: cut them out first, for example by "
                "ffmpeg -i CLIP -q:v 2 -start_number 1 img1/%06d.jpg"
            )
        samples.append(Sample(each.load.path, each.boxes, number[each.targets], each.ignored, each.load.labelled))
    return TrainingSet(tuple(class_of(target) for target in classes), tuple(samples))
