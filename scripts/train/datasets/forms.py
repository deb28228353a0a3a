"""The forms that labelled pictures come in: which files tell a form, how each is read and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from anonymizer.errors import DatasetError
from scripts.train.datasets import ava, coco, mot, retinanet_csv, voc, wider, xywh_json
from scripts.train.datasets.store import check_fresh, fresh_folder
from scripts.train.datasets.training_set import TrainingSet, joined, one_of


class Form(StrEnum):
    """How labels are written down."""

    WIDER = "wider"
    VOC = "voc"
    COCO = "coco"
    CSV = "csv"
    AVA = "ava"
    JSON = "json"
    MOT = "mot"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a form cannot say, counted."""

    ignored_boxes: int = 0
    empty_pictures: int = 0

    def __str__(self) -> str:
        counts = ((self.ignored_boxes, "ignored boxes"), (self.empty_pictures, "pictures without boxes"))
        return " and ".join(f"{count} {what}" for count, what in counts if count)


Read = Callable[[Path, Path | None], TrainingSet]
Write = Callable[[TrainingSet, Path], None]

READERS: dict[Form, Read] = {
    Form.WIDER: wider.read,
    Form.VOC: voc.read,
    Form.COCO: coco.read,
    Form.CSV: retinanet_csv.read,
    Form.AVA: ava.read,
    Form.JSON: xywh_json.read,
    Form.MOT: mot.read,
}
WRITERS: dict[Form, Write] = {
    Form.WIDER: wider.write,
    Form.VOC: voc.write,
    Form.COCO: coco.write,
    Form.CSV: retinanet_csv.write,
    Form.AVA: ava.write,
    Form.JSON: xywh_json.write,
}
_ONE_CLASS = {Form.WIDER: (wider.TITLE, wider.CARRIED), Form.JSON: (xywh_json.TITLE, xywh_json.CARRIED)}
_WITHOUT_IGNORED = (Form.CSV, Form.AVA)
_WITHOUT_EMPTY = (Form.AVA,)


def form_of(path: Path) -> Form:
    """The form, told by the files; raises DatasetError if they do not tell."""
    if path.is_dir():
        return _form_of_folder(path)
    if path.suffix == ".csv":
        return Form.AVA if ava.is_ava(path) else Form.CSV
    if path.suffix == ".json":
        return Form.COCO if isinstance(_json(path), dict) else Form.JSON
    if path.suffix == ".txt":
        return Form.MOT if path.name == "gt.txt" else Form.WIDER
    raise DatasetError(f"{path}: is missing or of no known form: name the labels, and the form by --from")


def _form_of_folder(folder: Path) -> Form:
    if (folder / "gt.txt").is_file() or (folder / "gt" / "gt.txt").is_file():
        return Form.MOT
    if any(folder.glob("*.xml")) or any(folder.glob("Annotations/*.xml")):
        return Form.VOC
    raise DatasetError(f"{folder}: has neither .xml nor gt.txt: name the file of the labels")


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}:{error.lineno}: is not JSON: {error.msg}") from None


def read_set(path: Path, form: Form | None = None, pictures: Path | None = None) -> TrainingSet:
    """The labelled pictures; `pictures` is their folder where it is not beside the labels. Raises DatasetError."""
    try:
        return READERS[form or form_of(path)](path, pictures)
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: is not text in UTF-8: store the labels as that") from None


def read_sets(paths: Sequence[Path], form: Form | None = None, pictures: Path | None = None) -> TrainingSet:
    """All of them as one set."""
    return joined([read_set(path, form, pictures) for path in paths])


def check_target(folder: Path, form: Form, classes: Sequence[str]) -> None:
    """Raises DatasetError if labels of these classes could not be written there: ask before work that takes long."""
    check_fresh(folder)
    if form in _ONE_CLASS and classes:
        title, carried = _ONE_CLASS[form]
        one_of(sorted(set(classes)), title, *carried)


def write_set(data: TrainingSet, folder: Path, form: Form) -> LeftOut:
    """Labels and copies of the pictures into a new or empty folder; what the form cannot say is counted.

    Leaves no file behind if it fails. Raises DatasetError if the folder has files, a picture is missing, or the form
    carries one class and there are more.
    """
    if form not in WRITERS:
        raise DatasetError(f"{form} is read only: choose one of {', '.join(WRITERS)}")
    with fresh_folder(folder):
        WRITERS[form](data, folder)
    empty = sum(not (~sample.ignore).any() for sample in data.samples)
    return LeftOut(
        sum(int(sample.ignore.sum()) for sample in data.samples) if form in _WITHOUT_IGNORED else 0,
        empty if form in _WITHOUT_EMPTY else 0,
    )
