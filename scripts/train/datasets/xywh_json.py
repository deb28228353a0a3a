"""The plain JSON form: `faces.json` or `persons.json`, a list of `{file, width, height, boxes: [{xywh, ignore}]}`."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from anonymizer.errors import DatasetError
from anonymizer.evaluate.readers.xywh_json import XywhEntry, read_xywh_json
from anonymizer.types import Target
from scripts.train.datasets.product import from_product
from scripts.train.datasets.store import copy_pictures, size_of
from scripts.train.datasets.training_set import TrainingSet, as_xywh, class_of, one_class

TITLE, CARRIED = "the JSON form", tuple(class_of(target) for target in Target)
_ENTRIES = TypeAdapter(list[XywhEntry])


def read(path: Path, pictures: Path | None = None) -> TrainingSet:
    """The name of the file says what its boxes are; raises DatasetError."""
    target = next((each for each in Target if path.stem.startswith(class_of(each))), None)
    if target is None:
        raise DatasetError(f"{path}: the name does not say what the boxes are: call it faces.json or persons.json")
    try:
        entries = _ENTRIES.validate_json(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{path}: {where}: {first['msg']}: mend the labels") from None
    return from_product(read_xywh_json(entries, path, target, pictures), path, only=target)


def write(data: TrainingSet, folder: Path) -> None:
    """One file of one class; raises DatasetError if there are more, or one that is neither person nor face."""
    name = one_class(data, TITLE, *CARRIED)
    entries = []
    for file, sample in copy_pictures(data, folder / "images"):
        width, height = size_of(sample.path, sample.labelled)
        boxes = [
            {"xywh": xywh, "ignore": ignored}
            for xywh, ignored in zip(as_xywh(sample.boxes), sample.ignore.tolist(), strict=True)
        ]
        entries.append({"file": file, "width": width, "height": height, "boxes": boxes})
    (folder / f"{name}s.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
