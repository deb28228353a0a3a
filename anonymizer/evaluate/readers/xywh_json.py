"""Reads the plain JSON form: a list of `{file, boxes: [{xywh, ignore}]}` beside a folder `images`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from anonymizer.evaluate.sample import XYWH, Label, PictureFile, Sample, find_pictures, make_sample, stated_size
from anonymizer.types import Target


class _Box(BaseModel):
    xywh: XYWH
    ignore: bool = False


class XywhEntry(BaseModel):
    """One picture of the JSON form; other keys are left alone."""

    file: str
    width: float | None = None
    height: float | None = None
    boxes: tuple[_Box, ...] = ()


def read_xywh_json(
    entries: list[XywhEntry], path: Path, target: Target, pictures: Path | None = None
) -> tuple[Sample, ...]:
    """All boxes are of the one target, for the form does not name it; raises DatasetError."""
    if not entries:
        return ()
    places = [pictures] if pictures else [path.parent / "images", path.parent]
    folder = find_pictures(places, entries[0].file, path)
    return tuple(
        make_sample(
            entry.file,
            PictureFile(folder / entry.file, stated_size(entry.width, entry.height)),
            [Label(box.xywh, target, ignored=box.ignore) for box in entry.boxes],
        )
        for entry in entries
    )
