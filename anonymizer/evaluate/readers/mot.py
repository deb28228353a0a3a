"""Reads a MOTChallenge folder: `gt.txt` with the frames of `img1` or of one clip."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import cv2

from anonymizer.errors import DatasetError
from anonymizer.evaluate.sample import Label, PictureFile, Sample, make_sample
from anonymizer.types import U8, Target

CLIPS = (".mp4", ".avi", ".mkv", ".mov", ".webm")
_PICTURES = (".jpg", ".jpeg", ".png")
_PEDESTRIAN = 1
_FACE = 14  # the benchmark's classes end at 13; the clips of scripts/clips use the next one
_NOT_JUDGED = (2, 7, 8, 12)  # person on vehicle, static person, distractor, reflection
_MOT16_COLUMNS = 9  # frame, id, x, y, w, h, judged, class, visibility; MOT15 has ten: x, y, z instead of the last two


def labels_of(folder: Path) -> Path | None:
    """The ground truth file of a folder of this form; None if it is of another form."""
    return next((path for path in (folder / "gt" / "gt.txt", folder / "gt.txt") if path.is_file()), None)


def read_mot(folder: Path, pictures: Path | None = None) -> tuple[Sample, ...]:
    """All frames in order, also those with nobody in them; corners in the file count from 1.

    Rows marked 0, people of whom nothing is visible, and the classes that the benchmark leaves out are ignored.
    Raises DatasetError.
    """
    path = labels_of(folder)
    if path is None:
        raise DatasetError(f"{folder}: has neither gt/gt.txt nor gt.txt")
    labels = {number: [row.label for row in rows] for number, rows in read_rows(path).items()}
    frames = pictures or folder / "img1"
    if frames.is_dir():
        files = sorted(file for file in frames.iterdir() if file.suffix.lower() in _PICTURES)
        numbered = [(_number(file), file) for file in files]
        return tuple(make_sample(file.name, PictureFile(file), labels.get(at, [])) for at, file in numbered)
    clips = [frames] if frames.is_file() else [file for file in folder.iterdir() if file.suffix.lower() in CLIPS]
    if len(clips) != 1:
        raise DatasetError(f"{folder}: needs a folder img1 or exactly one clip, has {len(clips)}")
    clip = _Clip(clips[0])
    numbers = range(1, clip.count() + 1)
    return tuple(make_sample(f"{at:06}", partial(clip.load, at), labels.get(at, [])) for at in numbers)


def _number(file: Path) -> int:
    try:
        return int(file.stem)
    except ValueError:
        raise DatasetError(f"{file}: the pictures of a MOT folder are named by the number of their frame") from None


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody in one frame."""

    identity: int
    label: Label


def read_rows(path: Path) -> dict[int, list[Row]]:
    """The rows of a ground truth file that name a person or a face, by number of the frame; raises DatasetError."""
    rows: dict[int, list[Row]] = defaultdict(list)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for line, columns in enumerate(csv.reader(stream), 1):
            try:
                number, label = int(columns[0]), _label(columns)
                if label is not None:
                    rows[number].append(Row(int(columns[1]), label))
            except (ValueError, IndexError):
                raise DatasetError(f"{path}:{line}: not a row of MOTChallenge: mend the labels") from None
            if number < 1:
                raise DatasetError(f"{path}:{line}: labels frame {number}, but the first one is 1: mend the labels")
    return dict(rows)


def _label(row: list[str]) -> Label | None:
    x, y, width, height, judged = (float(value) for value in row[2:7])
    xywh = (x - 1, y - 1, width, height)
    if len(row) != _MOT16_COLUMNS:
        return Label(xywh, Target.PERSON, ignored=judged == 0)
    kind, visibility = int(row[7]), float(row[8])
    if kind not in (_PEDESTRIAN, _FACE, *_NOT_JUDGED):
        return None
    is_judged = judged != 0 and kind not in _NOT_JUDGED and visibility > 0
    return Label(xywh, Target.FACE if kind == _FACE else Target.PERSON, ignored=not is_judged)


class _Clip:
    """The pictures of a video file by number, read forward; going back starts over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: cv2.VideoCapture | None = None
        self._next = 1

    def count(self) -> int:
        """How many pictures can be read; decodes the whole clip, because its header may be wrong."""
        reader, count = self._open(), 0
        while reader.grab():
            count += 1
        reader.release()
        return count

    def load(self, number: int) -> U8:
        """(H, W, 3) BGR of the picture `number`, counted from 1; raises DatasetError."""
        if self._reader is None or number < self._next:
            self._reader, self._next = self._open(), 1
        while self._next < number and self._reader.grab():
            self._next += 1
        found, picture = self._reader.read()
        self._next += 1
        if not found:
            raise DatasetError(f"{self._path}: has no picture {number}")
        return cast(U8, picture)

    def _open(self) -> cv2.VideoCapture:
        reader = cv2.VideoCapture(str(self._path))
        if not reader.isOpened():
            raise DatasetError(f"{self._path}: is no video that can be read")
        return reader
