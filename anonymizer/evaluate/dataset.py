"""Opens a data set of any known form, which its files tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from anonymizer.errors import DatasetError
from anonymizer.evaluate.readers.coco import CocoFile, read_coco
from anonymizer.evaluate.readers.mot import labels_of, read_mot
from anonymizer.evaluate.readers.voc import read_voc
from anonymizer.evaluate.readers.wider import read_wider
from anonymizer.evaluate.readers.xywh_json import XywhEntry, read_xywh_json
from anonymizer.evaluate.sample import Sample
from anonymizer.types import Target

_ENTRIES = TypeAdapter(list[XywhEntry])
_FORMS = (
    "a JSON list of files and boxes, COCO instances (.json), WIDER FACE (.txt), "
    "a folder of Pascal VOC (.xml) or of MOTChallenge (gt.txt)"
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled pictures; every label is of the one target."""

    target: Target
    samples: tuple[Sample, ...]

    def spread(self, limit: int | None) -> Dataset:
        """At most `limit` of the pictures, evenly spread over all of them."""
        if limit is None or limit >= len(self.samples):
            return self
        chosen = np.linspace(0, len(self.samples) - 1, limit).round().astype(int).tolist()
        return Dataset(self.target, tuple(self.samples[at] for at in chosen))


def open_dataset(path: Path, target: Target | None = None, pictures: Path | None = None) -> Dataset:
    """The labelled pictures with the labels of one target, in the order of the file names or of the labels.

    `target`: None for the only one that is labelled. `pictures`: their folder, if it is not beside the labels.
    Raises DatasetError if the form is unknown, a label is wrong, or the target must be named.
    """
    try:
        samples = _read(path, target, pictures)
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: is not text; the data sets that can be read are {_FORMS}") from None
    chosen = _only_target(path, samples) if target is None else target
    return Dataset(chosen, tuple(sample.of(chosen) for sample in samples))


def _read(path: Path, target: Target | None, pictures: Path | None) -> tuple[Sample, ...]:
    if path.is_dir():
        return _read_folder(path, target, pictures)
    if path.suffix == ".json":
        return _read_json(path, target, pictures)
    if path.name == "gt.txt":
        return read_mot(path.parent.parent if path.parent.name == "gt" else path.parent, pictures)
    if path.suffix == ".txt":
        return read_wider(path, pictures)
    raise DatasetError(f"{path}: missing or of no known form; the data sets that can be read are {_FORMS}")


def _read_folder(folder: Path, target: Target | None, pictures: Path | None) -> tuple[Sample, ...]:
    if labels_of(folder):
        return read_mot(folder, pictures)
    for place in (folder, folder / "Annotations"):
        if any(place.glob("*.xml")):
            return read_voc(place, pictures)
    files = sorted([*folder.glob("*.json"), *folder.glob("*_bbx_gt.txt")])
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "no labels"
        raise DatasetError(f"{folder}: has {names}; name one file; the data sets that can be read are {_FORMS}")
    return _read(files[0], target, pictures)


def _read_json(path: Path, target: Target | None, pictures: Path | None) -> tuple[Sample, ...]:
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            return read_coco(CocoFile.model_validate(content), path, pictures)
        entries = _ENTRIES.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{path}: {where}: {first['msg']}; the data sets that can be read are {_FORMS}") from None
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}:{error.lineno}: is not JSON: {error.msg}") from None
    by_name = next((known for known in Target if path.stem.startswith(known.name.lower())), None)
    chosen = target if target is not None else by_name
    if chosen is None:
        raise DatasetError(f"{path}: does not say what its boxes are: add --target face or --target person")
    return read_xywh_json(entries, path, chosen, pictures)


def _only_target(path: Path, samples: tuple[Sample, ...]) -> Target:
    found = {int(each) for sample in samples for each in sample.targets}
    if len(found) != 1:
        what = "faces and persons" if found else "neither faces nor persons"
        raise DatasetError(f"{path}: labels {what}: add --target face or --target person")
    return Target(found.pop())
