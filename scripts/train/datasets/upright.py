"""Whether pictures lie on their side as they are stored, which the EXIF tag of phones and cameras tells."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from anonymizer.errors import DatasetError
from scripts.train.picture import Sample

_HEAD_BYTES = 1 << 17  # EXIF comes first, and is 64 KiB at most
_ORIENTATION = 0x0112
_LYING = range(3, 9)  # 1 is upright, 2 mirrored


def check_upright(samples: Sequence[Sample]) -> None:
    """Raises DatasetError for pictures in which a model would find nobody, for it sees them as they are stored."""
    lying = [sample.path for sample in samples if orientation(sample.path) in _LYING]
    if lying:
        raise DatasetError(
            f"{lying[0]}: lies on its side or head as stored, as {len(lying)} of {len(samples)} pictures do, and only "
            "an EXIF tag turns it; models would find nobody: turn it for good, for example by mogrify -auto-orient"
        )


def orientation(path: Path) -> int:
    """EXIF's number for how a stored picture is to be turned, 1 where it says nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return 1  # whoever reads the picture will say so
    _, found, tiff = head.partition(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if not found or order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        entries = [struct.unpack_from(f"{order}HHIH", tiff, at + 2 + 12 * number) for number in range(count)]
    except struct.error:
        return 1
    return next((value for tag, _, _, value in entries if tag == _ORIENTATION), 1)
