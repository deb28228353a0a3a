"""AVA: rows `video_id, middle_frame_timestamp, x1, y1, x2, y2, action_id, person_id`, corners as shares of a side."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.types import Target
from scripts.train.datasets.store import copy_picture, size_of
from scripts.train.datasets.training_set import TrainingSet, class_of, names_of
from scripts.train.picture import Sample

LABELS, LABEL_MAP = "ava.csv", "label_map.pbtxt"
PERSON = class_of(Target.PERSON)
_COLUMNS = (7, 8)  # without and with person_id
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_NAMED = re.compile(r"(?P<video>.+)_(?P<timestamp>\d+(\.\d+)?)")
Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One action of one person in one frame."""

    video: str
    timestamp: str  # seconds from the start of the film, as written, for frames are named by it: 0902
    corners: Corners  # x1 y1 x2 y2 as shares of width and height, 0-1
    action: int | None
    person: int | None  # the same in all frames of a video


@dataclass(frozen=True, slots=True)
class Someone:
    """One person in one frame, with all that is done."""

    corners: Corners
    actions: tuple[int, ...]
    person: int | None


def is_ava(path: Path) -> bool:
    """Whether the first row is one of AVA's; raises DatasetError if there is none to read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = next(csv.reader(stream), [])
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
    return len(first) in _COLUMNS


def read_rows(path: Path) -> tuple[Row, ...]:
    """All rows in order; raises DatasetError naming the line that is wrong."""
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for line, values in enumerate(csv.reader(stream), 1):
                if values:
                    rows.append(_row([value.strip() for value in values], f"{path}:{line}"))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
    return tuple(rows)


def _row(values: list[str], where: str) -> Row:
    try:
        video, timestamp, x1, y1, x2, y2, action = values[:7]
        corners = (float(x1), float(y1), float(x2), float(y2))
        person = values[7] if len(values) == max(_COLUMNS) else ""
        row = Row(video, timestamp, corners, int(action) if action else None, int(person) if person else None)
        right = len(values) in _COLUMNS and 0 <= corners[0] < corners[2] <= 1 and 0 <= corners[1] < corners[3] <= 1
        if not (right and video and float(timestamp) >= 0):
            raise ValueError
    except ValueError:
        raise DatasetError(
            f"{where}: not a row of AVA (video_id, seconds, x1, y1, x2, y2 as shares of the frame, action_id, "
            "person_id): mend the labels"
        ) from None
    return row


def by_frame(rows: Iterable[Row]) -> dict[tuple[str, str], tuple[Someone, ...]]:
    """The people of each (video, timestamp); rows of one person become one box.

    Rows without a person's number belong together if their corners are the same. Where annotators drew one person's
    actions differently, the box holds them all.
    """
    found: dict[tuple[str, str], dict[object, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.video, row.timestamp][row.corners if row.person is None else row.person].append(row)
    return {key: tuple(_merged(same) for same in people.values()) for key, people in found.items()}


def _merged(rows: Sequence[Row]) -> Someone:
    corners = np.array([row.corners for row in rows])
    x1, y1 = corners[:, :2].min(axis=0).tolist()
    x2, y2 = corners[:, 2:].max(axis=0).tolist()
    actions = sorted({row.action for row in rows if row.action is not None})
    return Someone((x1, y1, x2, y2), tuple(actions), rows[0].person)


def read_label_map(path: Path) -> dict[int, str]:
    """Names by number from `item { name: "..." id: N }`, or `label { name label_id }` as in AVA's first version.

    Raises DatasetError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
    names = {}
    for block in re.findall(r"\w+\s*\{([^}]*)\}", text):
        name = re.search(r'\bname:\s*"((?:[^"\\]|\\.)*)"', block)
        number = re.search(r"\b(?:label_)?id:\s*(\d+)", block)
        if name is None or number is None:
            raise DatasetError(f"{path}: an entry has no name or no id: {' '.join(block.split())[:60]}")
        names[int(number[1])] = re.sub(r"\\(.)", r"\1", name[1])
    return names


def write_label_map(path: Path, names: dict[int, str]) -> None:
    """As `item { name: "..." id: N }`."""
    quoted = {number: name.replace("\\", "\\\\").replace('"', '\\"') for number, name in names.items()}
    items = [f'item {{\n  name: "{name}"\n  id: {number}\n}}\n' for number, name in quoted.items()]
    path.write_text("".join(items), encoding="utf-8")


def read(path: Path, pictures: Path | None = None) -> TrainingSet:
    """Frames that are cut out already, as VIDEO_TIMESTAMP.jpg in `pictures` or in `images` beside the labels.

    Everybody is a `person`, unless the label map beside the labels has only the product's classes for actions.
    Raises DatasetError.
    """
    folder = pictures or path.parent / "images"
    beside = path.parent / LABEL_MAP
    names = read_label_map(beside) if beside.is_file() else {}
    if not names or set(names.values()) - {class_of(target) for target in Target}:
        names = {}
    classes = tuple(names.values()) or (PERSON,)
    numbers = {action: classes.index(name) for action, name in names.items()}
    samples = []
    for (video, timestamp), people in by_frame(read_rows(path)).items():
        file = _frame_file(folder, video, timestamp)
        width, height = size_of(file)
        corners = np.array([each.corners for each in people]) * (width, height, width, height)
        class_ids = [numbers.get(each.actions[0], 0) if each.actions else 0 for each in people]
        ids = np.array(class_ids, np.int32)
        samples.append(Sample(file, corners.astype(np.float32), ids, np.zeros(len(people), np.bool_)))
    return TrainingSet(classes, tuple(samples))


def _frame_file(folder: Path, video: str, timestamp: str) -> Path:
    for suffix in _SUFFIXES:
        for written in (suffix, suffix.upper()):
            file = folder / f"{video}_{timestamp}{written}"
            if file.is_file():
                return file
    raise DatasetError(f"{folder}: has no {video}_{timestamp}.jpg: cut the frames out first by dataset from-ava")


def write(data: TrainingSet, folder: Path) -> None:
    """Pictures become frames VIDEO_TIMESTAMP, classes become actions, each box another person.

    AVA has no rows for pictures without boxes and no mark for ignored boxes: both are left out. Corners are written to
    1/1000000 of a side, and boxes cut at the picture's edge. Raises DatasetError.
    """
    (folder / "images").mkdir()
    rows: list[list[object]] = []
    taken: set[str] = set()
    names = names_of([sample.path for sample in data.samples])
    for sample in data.samples:
        name = Path(names[sample.path])
        named = _NAMED.fullmatch(name.stem)
        video, timestamp = (named["video"], named["timestamp"]) if named else (name.stem, "0")
        if f"{video}_{timestamp}" in taken:
            raise DatasetError(f"{sample.path}: another picture is the frame {video}_{timestamp} too: rename one")
        taken.add(f"{video}_{timestamp}")
        width, height = size_of(sample.path, sample.labelled)
        shares = np.clip(sample.boxes / np.array([width, height, width, height], np.float64), 0, 1).round(6)
        kept = ~sample.ignore & (shares[:, 2:] > shares[:, :2]).all(axis=1)
        people = zip(shares[kept].tolist(), sample.class_ids[kept].tolist(), strict=True)
        rows += [
            [video, timestamp, *corners, class_id + 1, person] for person, (corners, class_id) in enumerate(people)
        ]
        if kept.any():
            copy_picture(sample.path, folder / "images" / f"{video}_{timestamp}{name.suffix}")
    with (folder / LABELS).open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    write_label_map(folder / LABEL_MAP, dict(enumerate(data.classes, 1)))
