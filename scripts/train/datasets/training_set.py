"""Labelled pictures of named classes, whatever form they were read from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.geometry import iou_matrix
from anonymizer.types import F32, I32, Target
from scripts.train.picture import Sample

_SAME_IOU = 0.9  # of two boxes that mean one thing, one of them in whole pixels


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Samples whose class ids are indices into the names of the classes."""

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]

    def select(self, classes: Sequence[str]) -> TrainingSet:
        """All pictures, with the labels of some classes, numbered in that order; raises DatasetError if one is unknown.

        Ignored boxes of the other classes are left out too: they say nothing about these.
        """
        unknown = [name for name in classes if name not in self.classes]
        if unknown:
            raise DatasetError(f"the data set has no class {unknown[0]!r}; it has {', '.join(self.classes)}")
        renumbered = np.full(len(self.classes) + 1, -1, np.int32)
        for at, name in enumerate(classes):
            renumbered[self.classes.index(name)] = at
        return TrainingSet(tuple(classes), tuple(_renumbered(sample, renumbered) for sample in self.samples))


def _renumbered(sample: Sample, renumbered: np.ndarray) -> Sample:
    class_ids = renumbered[sample.class_ids]
    kept = class_ids >= 0
    return replace(sample, boxes=sample.boxes[kept], class_ids=class_ids[kept], ignore=sample.ignore[kept])


def joined(parts: Sequence[TrainingSet]) -> TrainingSet:
    """One set of all pictures; classes of one name are one class.

    A picture that is named several times is one picture with all its labels: what one file labels would be background
    by the other. A box that is there already, but for rounding, is taken once.
    """
    classes = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    samples: dict[Path, Sample] = {}
    for part in parts:
        renumbered = np.array([classes.index(name) for name in part.classes], np.int32)
        for each in part.samples:
            if len(each.class_ids):
                each = replace(each, class_ids=renumbered[each.class_ids])
            place = each.path.resolve()
            samples[place] = _united(samples[place], each) if place in samples else each
    return TrainingSet(classes, tuple(samples.values()))


def known_pictures(held_back: Sequence[Sample], learned: Sequence[Sample]) -> int:
    """How many of the pictures that were held back were not: the same file, or one with the same content."""
    sizes = {_bytes(each.path) for each in held_back}
    known = {_content(each.path) for each in learned if _bytes(each.path) in sizes}  # reading all would take minutes
    return sum(_content(each.path) in known for each in held_back)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1  # whoever loads it will say so


def _content(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return str(path).encode()


def _united(first: Sample, second: Sample) -> Sample:
    same = (iou_matrix(second.boxes, first.boxes) > _SAME_IOU) & (second.class_ids[:, None] == first.class_ids)
    new = ~same.any(axis=1)
    return replace(
        first,
        boxes=np.concatenate([first.boxes, second.boxes[new]]),
        class_ids=np.concatenate([first.class_ids, second.class_ids[new]]),
        ignore=np.concatenate([first.ignore, second.ignore[new]]),
    )


def class_of(target: Target) -> str:
    """The name that all forms use for a target of the product."""
    return target.name.lower()


def used_classes(data: TrainingSet) -> list[str]:
    """Those that have a box."""
    used = {int(each) for sample in data.samples for each in sample.class_ids}
    return [data.classes[each] for each in sorted(used)]


def one_class(data: TrainingSet, form: str, *allowed: str) -> str:
    """The class that all labels are of; raises DatasetError for several, or one that the form does not carry."""
    return one_of(used_classes(data) or list(data.classes[:1]) or [allowed[0]], form, *allowed)


def one_of(names: Sequence[str], form: str, *allowed: str) -> str:
    """The only one of them; raises DatasetError for several, or one that the form does not carry."""
    if len(names) > 1 or names[0] not in allowed:
        raise DatasetError(
            f"{form} carries {' or '.join(allowed)}, not {' and '.join(names)}: choose by --class or --target, "
            "or another form by --to"
        )
    return names[0]


def whole_pixels(boxes: F32) -> I32:
    """Corners (N, 4) rounded to whole pixels, for forms that know no others; each side stays 1 pixel or more."""
    low = np.floor(boxes[:, :2] + 0.5)
    high = np.maximum(np.floor(boxes[:, 2:] + 0.5), low + 1)
    return np.concatenate([low, high], axis=1).astype(np.int32)


def as_xywh(boxes: F32) -> list[list[float]]:
    """Left, top, width and height, to 1/1000 of a pixel."""
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    rows: list[list[float]] = np.concatenate([boxes[:, :2], sides], axis=1).round(3).tolist()
    return rows


def names_of(paths: Sequence[Path]) -> dict[Path, str]:
    """A file name for each file, unlike all others: its own, with its folders in front where that is needed."""
    depths = dict.fromkeys(paths, 1)
    while True:
        names = {path: "_".join(path.relative_to(path.anchor).parts[-depth:]) for path, depth in depths.items()}
        shared = {name for name, count in Counter(names.values()).items() if count > 1}
        if not shared:
            return names
        for path, name in names.items():
            depths[path] += name in shared


def stems_of(paths: Sequence[Path]) -> dict[Path, str]:
    """As names_of, without the endings where these are not what tells two files apart."""
    names = names_of(paths)
    stems = {path: Path(name).stem for path, name in names.items()}
    while shared := {stem for stem, count in Counter(stems.values()).items() if count > 1}:
        stems = {path: names[path] if stem in shared else stem for path, stem in stems.items()}
    return stems
