"""How measurements leave the program: as tables in Markdown and as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

from anonymizer.errors import DatasetError
from anonymizer.types import U8


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose first row is the header; all rows have the same number of cells."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines


def write_file(path: Path, content: bytes) -> None:
    """Write a file; raises DatasetError that names it."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror}") from None


def write_png(path: Path, picture: U8) -> None:
    """Write a picture (H, W, 3) BGR; raises DatasetError."""
    _, png = cv2.imencode(".png", picture)
    write_file(path, png.tobytes())
