"""Reads COCO instances: persons and faces by the names of their categories, `iscrowd` as a crowd."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pydantic import BaseModel

from anonymizer.evaluate.sample import XYWH, Label, PictureFile, Sample, find_pictures, make_sample, stated_size
from anonymizer.types import Target

TARGETS = {"person": Target.PERSON, "face": Target.FACE}


class _Image(BaseModel):
    id: int
    file_name: str
    width: float | None = None
    height: float | None = None


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: XYWH
    iscrowd: bool = False


class _Category(BaseModel):
    id: int
    name: str


class CocoFile(BaseModel):
    """The parts of the file that matter; other keys are left alone."""

    images: tuple[_Image, ...]
    annotations: tuple[_Annotation, ...]
    categories: tuple[_Category, ...]


def read_coco(content: CocoFile, path: Path, pictures: Path | None = None) -> tuple[Sample, ...]:
    """Pictures in the file's order; raises DatasetError."""
    if not content.images:
        return ()
    targets = {each.id: TARGETS[each.name.lower()] for each in content.categories if each.name.lower() in TARGETS}
    labels: dict[int, list[Label]] = defaultdict(list)
    for each in content.annotations:
        if each.category_id in targets:
            labels[each.image_id].append(Label(each.bbox, targets[each.category_id], crowd=each.iscrowd))
    split = path.stem.removeprefix("instances_")  # instances_val2017.json lies in annotations/ beside val2017/
    beside = (path.parent, path.parent.parent)
    places = [pictures] if pictures else [place / name for place in beside for name in ("images", split, ".")]
    folder = find_pictures(places, content.images[0].file_name, path)
    return tuple(
        make_sample(
            image.file_name,
            PictureFile(folder / image.file_name, stated_size(image.width, image.height)),
            labels[image.id],
        )
        for image in content.images
    )
