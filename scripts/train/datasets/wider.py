"""WIDER FACE: `wider_bbx_gt.txt` beside `images`; faces in whole pixels, `invalid` means ignored."""

from __future__ import annotations

from pathlib import Path

from anonymizer.evaluate.readers.wider import read_wider
from anonymizer.types import Target
from scripts.train.datasets.product import from_product
from scripts.train.datasets.store import copy_pictures, size_of
from scripts.train.datasets.training_set import TrainingSet, one_class, whole_pixels

LABELS = "wider_bbx_gt.txt"
TITLE, CARRIED = "WIDER FACE", ("face",)


def read(path: Path, pictures: Path | None = None) -> TrainingSet:
    """Pictures in the file's order; raises DatasetError."""
    return from_product(read_wider(path, pictures), path, only=Target.FACE)


def write(data: TrainingSet, folder: Path) -> None:
    """Attributes other than `invalid` are written as 0; raises DatasetError for classes other than faces."""
    one_class(data, TITLE, *CARRIED)
    lines: list[str] = []
    for name, sample in copy_pictures(data, folder / "images"):
        size_of(sample.path, sample.labelled)  # the form could not say that it is another
        lines += [name, str(len(sample.boxes))]
        for (x1, y1, x2, y2), ignored in zip(whole_pixels(sample.boxes).tolist(), sample.ignore.tolist(), strict=True):
            lines.append(f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 {int(ignored)} 0 0")
        if not len(sample.boxes):
            lines.append("0 0 0 0 0 0 0 0 0 0")
    (folder / LABELS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
