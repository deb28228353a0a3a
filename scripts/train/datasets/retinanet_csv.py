"""keras-retinanet's CSV: rows `path,x1,y1,x2,y2,class`, `path,,,,,` for a negative, classes in a second file."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.types import Target
from scripts.train.datasets.store import copy_pictures, size_of
from scripts.train.datasets.training_set import TrainingSet, class_of, whole_pixels
from scripts.train.picture import Sample

LABELS, CLASSES = "annotations.csv", "classes.csv"
_BOX_COLUMNS = 6
_OWN = frozenset(class_of(target) for target in Target)


def read(path: Path, pictures: Path | None = None) -> TrainingSet:
    """Paths are relative to `pictures` or to the file; `classes.csv` beside it may fix the order of the classes.

    Raises DatasetError.
    """
    folder = pictures or path.parent
    boxes: dict[Path, list[tuple[list[float], str]]] = defaultdict(list)
    for line, row in _rows(path):
        if len(row) != _BOX_COLUMNS:
            raise DatasetError(f"{path}:{line}: has {len(row)} columns, not path,x1,y1,x2,y2,class: mend the labels")
        found = boxes[folder / row[0]]  # a picture of which nothing is labelled counts too
        if not any(row[1:]):
            continue
        try:
            corners = [float(value) for value in row[1:5]]
        except ValueError:
            raise DatasetError(f"{path}:{line}: x1,y1,x2,y2 must be numbers: mend the labels") from None
        if not (np.isfinite(corners).all() and corners[0] < corners[2] and corners[1] < corners[3] and row[5]):
            raise DatasetError(f"{path}:{line}: needs x1 < x2, y1 < y2 and a class: mend the labels")
        found.append((corners, _class_name(row[5])))
    classes = _classes(path.parent / CLASSES) or sorted({name for each in boxes.values() for _, name in each})
    if _are_shares(boxes.values()):
        raise DatasetError(f"{path}: all boxes lie within 0 to 1, so they are shares of the picture: write pixels")
    numbers = {name: at for at, name in enumerate(classes)}
    unknown = {name for each in boxes.values() for _, name in each} - numbers.keys()
    if unknown:
        raise DatasetError(f"{path}: uses the class {min(unknown)!r}, which {CLASSES} does not name")
    return TrainingSet(tuple(classes), tuple(_sample(file, found, numbers) for file, found in boxes.items()))


def _are_shares(boxes: Iterable[list[tuple[list[float], str]]]) -> bool:
    """Whether corners are fractions and none lies beyond the first pixel: widths and heights of the picture, then."""
    corners = [value for found in boxes for own, _ in found for value in own]
    return all(0 <= value <= 1 for value in corners) and not all(value.is_integer() for value in corners)


def _sample(path: Path, found: list[tuple[list[float], str]], numbers: dict[str, int]) -> Sample:
    return Sample(
        path,
        np.array([corners for corners, _ in found], np.float32).reshape(-1, 4),
        np.array([numbers[name] for _, name in found], np.int32),
        np.zeros(len(found), np.bool_),
    )


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [(line, [cell.strip() for cell in row]) for line, row in enumerate(csv.reader(stream), 1) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None


def _class_name(written: str) -> str:
    """The product's classes in small letters: `Face` would be another one, and background where faces are learned."""
    return written.lower() if written.lower() in _OWN else written


def _classes(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        numbered = sorted((int(row[1]), _class_name(row[0])) for _, row in _rows(path))
    except (ValueError, IndexError):
        raise DatasetError(f"{path}: not rows of name,number: mend it") from None
    if [number for number, _ in numbered] != list(range(len(numbered))):
        raise DatasetError(f"{path}: the classes are not numbered 0, 1, 2 ...: mend it")
    return [name for _, name in numbered]


def write(data: TrainingSet, folder: Path) -> None:
    """Corners in whole pixels; ignored boxes are left out, for the form has no mark for them. Raises DatasetError."""
    rows: list[list[object]] = []
    for name, sample in copy_pictures(data, folder / "images"):
        size_of(sample.path, sample.labelled)  # the form could not say that it is another
        kept = ~sample.ignore
        labels = zip(whole_pixels(sample.boxes[kept]).tolist(), sample.class_ids[kept].tolist(), strict=True)
        labelled: list[list[object]] = [[f"images/{name}", *box, data.classes[class_id]] for box, class_id in labels]
        rows += labelled or [[f"images/{name}", "", "", "", "", ""]]
    with (folder / LABELS).open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    with (folder / CLASSES).open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([name, number] for number, name in enumerate(data.classes))
