"""COCO instances: `annotations.json` beside `images`; boxes `[x, y, width, height]`, `iscrowd` means ignored."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from pathlib import Path

from pydantic import ValidationError

from anonymizer.errors import DatasetError
from anonymizer.evaluate.readers.coco import CocoFile, read_coco
from scripts.train.datasets.product import from_product
from scripts.train.datasets.store import copy_pictures, size_of
from scripts.train.datasets.training_set import TrainingSet, as_xywh

LABELS = "annotations.json"


def read(path: Path, pictures: Path | None = None) -> TrainingSet:
    """Pictures in the file's order; categories other than persons and faces are left out. Raises DatasetError."""
    try:
        content = CocoFile.model_validate_json(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{path}: {where}: {first['msg']}: mend the labels") from None
    return from_product(read_coco(content, path, pictures), path)


def write(data: TrainingSet, folder: Path) -> None:
    """Images, annotations and categories count from 1; raises DatasetError."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (name, sample) in enumerate(copy_pictures(data, folder / "images"), 1):
        width, height = size_of(sample.path, sample.labelled)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        labels = zip(as_xywh(sample.boxes), sample.class_ids.tolist(), sample.ignore.tolist(), strict=True)
        for xywh, class_id, ignored in labels:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": class_id + 1,
                    "bbox": xywh,
                    "area": xywh[2] * xywh[3],
                    "iscrowd": int(ignored),
                }
            )
    categories = [{"id": at, "name": name} for at, name in enumerate(data.classes, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / LABELS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
