"""Copies pictures into the folder of a data set that is being written, and writes new ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from anonymizer.errors import DatasetError
from anonymizer.evaluate.sample import check_size
from anonymizer.types import U8, Size
from scripts.train.datasets.training_set import TrainingSet, names_of
from scripts.train.picture import Sample

JPEG_QUALITY = 95
PICTURES = (".png", ".jpg", ".jpeg")


def copy_pictures(data: TrainingSet, folder: Path) -> list[tuple[str, Sample]]:
    """Copies all pictures; returns name and sample in the order of the set. Raises DatasetError."""
    make_folder(folder)
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
    if path.suffix.lower() not in PICTURES:
        raise DatasetError(f"{path}: is no name of a picture: end it in {' or '.join(PICTURES)}")
    make_folder(path.parent)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() in (".jpg", ".jpeg") else []
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options):
        raise DatasetError(f"{path}: cannot be written")


def write_whole(path: Path, data: bytes) -> None:
    """A kill or a full disk leaves the old file or the new one, and half of none; raises DatasetError."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DatasetError(f"{path}: cannot be written: {error.strerror}") from None


def make_folder(folder: Path) -> None:
    """Makes it and those above it where they are missing; raises DatasetError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        raise DatasetError(f"{folder}: cannot be made a folder: {reason}: name another place") from None


@contextmanager
def fresh_folder(folder: Path) -> Iterator[None]:
    """A new or empty folder to write into; what was written goes again if that fails. Raises DatasetError."""
    check_fresh(folder)
    is_new = not folder.exists()
    make_folder(folder)
    try:
        yield
    except BaseException:  # Ctrl-C too: half a data set would be in the way of the next try
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        if is_new:
            folder.rmdir()
        raise


def check_fresh(folder: Path) -> None:
    """Raises DatasetError unless it is an empty folder, or missing and can be made."""
    if folder.is_dir() and any(folder.iterdir()):
        raise DatasetError(f"{folder}: has files already: name a new folder")
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder}: is a file: name a new folder")
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        reason = "cannot be written to" if above.is_dir() else "is a file"
        raise DatasetError(f"{folder}: cannot be made a folder: {above} {reason}: name another place")


def size_of(path: Path, labelled: Size | None = None) -> tuple[int, int]:
    """Width and height of a stored picture, in pixels; raises DatasetError, also if its labels say another size."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DatasetError(f"{path} is missing or is no picture: check the data set")
    check_size(path, Size(image.shape[1], image.shape[0]), labelled)
    return image.shape[1], image.shape[0]
