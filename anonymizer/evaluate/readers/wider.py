"""Reads WIDER FACE's text form: file, count, then `x y w h blur expression illumination invalid ...` for each face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from anonymizer.errors import DatasetError
from anonymizer.evaluate.sample import Label, PictureFile, Sample, find_pictures, make_sample
from anonymizer.types import Target

_INVALID = 7  # the column; such faces are not judged


def read_wider(path: Path, pictures: Path | None = None) -> tuple[Sample, ...]:
    """Pictures in the file's order; a picture of count 0 has one line of zeros. Raises DatasetError."""
    entries = list(_entries(path))
    if not entries:
        return ()
    split = path.stem.removesuffix("_bbx_gt").replace("wider_face", "WIDER")  # WIDER_val/images beside the split
    beside = (
        path.parent / "images",
        path.parent,
        path.parent.parent / split / "images",
        path.parent / split / "images",
    )
    folder = find_pictures([pictures] if pictures else beside, entries[0][0], path)
    return tuple(make_sample(name, PictureFile(folder / name), labels) for name, labels in entries)


def _entries(path: Path) -> Iterator[tuple[str, list[Label]]]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    at = 0
    while at < len(lines):
        if not lines[at]:
            at += 1
            continue
        try:
            name, count = lines[at], int(lines[at + 1])
            rows = lines[at + 2 : at + 2 + count]
            if len(rows) < count:
                raise IndexError
            labels = [_label(row) for row in rows]
        except (ValueError, IndexError):
            raise DatasetError(
                f"{path}:{at + 1}: not WIDER FACE's form (file, count, one line a face): mend the labels"
            ) from None
        yield name, labels
        at += 2 + max(count, 1)


def _label(row: str) -> Label:
    values = [float(value) for value in row.split()]
    return Label((values[0], values[1], values[2], values[3]), Target.FACE, ignored=bool(values[_INVALID]))
