"""Copies pictures into the folder of a data set that is being written, and writes new ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2

from anonymizer.errors import DatasetError
from anonymizer.types import U8
from scripts.train.datasets.training_set import TrainingSet, names_of
from scripts.train.picture import Sample

JPEG_QUALITY = 95


def copy_pictures(data: TrainingSet, folder: Path) -> list[tuple[str, Sample]]:
    """Copies all pictures; returns name and sample in the order of the set. Raises DatasetError."""
    folder.mkdir(parents=True, exist_ok=True)
    names = names_of([sample.path for sample in data.samples])
    for sample in data.samples:
        copy_picture(sample.path, folder / names[sample.path])
    return [(names[sample.path], sample) for sample in data.samples]


def copy_picture(source: Path, target: Path) -> None:
    """Byte for byte; raises DatasetError."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise DatasetError(f"{source}: cannot be copied to {target}: {error.strerror}") from None


def save_rgb(path: Path, image: U8) -> None:
    """(H, W, 3) RGB as JPEG or PNG, told by the suffix; raises DatasetError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() in (".jpg", ".jpeg") else []
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options):
        raise DatasetError(f"{path}: cannot be written")


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a stored picture, in pixels; raises DatasetError."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DatasetError(f"{path} is missing or is no picture: check the data set")
    return image.shape[1], image.shape[0]
