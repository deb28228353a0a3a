"""Reads the faces of known people from a folder that has a folder for each person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.stills import decode, frame_of
from anonymizer.types import U8, Box, Detections, Frame, Target

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
AROUND = 1.3  # how far a face's window reaches from its middle, in heights of the face
PAD = 0.5  # of a picture's sides are added around it by repeating its edge: models miss faces that fill a picture
LEAST_HEIGHT_PX = 48  # of a clear face
SAME = 0.98  # correlation from which two windows are taken for one photograph
SAME_PX = 32  # side to which they are scaled to tell

Find = Callable[[Frame], Detections]


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One clear face with its surroundings."""

    person: str
    picture: str  # for messages
    window: U8  # BGR (H, W, 3)
    box: Box  # of the face in the window, as the detector found it


def read_people(folder: Path, find: Find) -> tuple[Face, ...]:
    """The largest face of every picture; every folder that holds pictures is a person, named by its path.

    A photograph that a person has twice, scaled or compressed anew, counts once. People with only one face are left
    out. Raises DatasetError if fewer than two people remain.
    """
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise DatasetError(f"{folder}: holds no pictures; needed: a folder for each person with pictures of their face")
    every = [face for path in pictures if (face := face_in(path, path.parent.relative_to(folder).as_posix(), find))]
    faces = list(_different(every))
    counts = {person: sum(face.person == person for face in faces) for person in {face.person for face in faces}}
    chosen = tuple(face for face in faces if counts[face.person] > 1)
    if len({face.person for face in chosen}) < 2:
        raise DatasetError(f"{folder}: clear faces of two people or more are needed, two pictures of each or more")
    return chosen


def _different(faces: Sequence[Face]) -> Iterator[Face]:
    """The faces without repetitions of a photograph of the same person."""
    seen: dict[str, list[Face]] = {}
    for face in faces:
        before = seen.setdefault(face.person, [])
        if not any(_likeness(face, other) >= SAME for other in before):
            before.append(face)
            yield face


def _likeness(face: Face, other: Face) -> float:
    """Correlation of two windows' pixels, -1 to 1; 0 where one is of a single colour."""
    small = [cv2.resize(each.window, (SAME_PX, SAME_PX), interpolation=cv2.INTER_AREA) for each in (face, other)]
    first, second = ((each.astype(np.float64) - each.mean()).reshape(-1) for each in small)
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm else 0.0


def face_in(path: Path, person: str, find: Find) -> Face | None:
    """The largest face of a picture file, None if it has no clear one; raises DatasetError."""
    try:
        picture = decode(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    if picture is None:
        raise DatasetError(f"{path}: is no picture that can be read: remove it, or save it as JPEG or PNG")
    rows, columns = (round(PAD * side) for side in picture.shape[:2])
    padded = np.asarray(cv2.copyMakeBorder(picture, rows, rows, columns, columns, cv2.BORDER_REPLICATE), np.uint8)
    found = find(frame_of(padded, "attack"))
    faces = found.boxes[found.class_ids == int(Target.FACE)]
    if not len(faces):
        return None
    x1, y1, x2, y2 = faces[(faces[:, 3] - faces[:, 1]).argmax()].tolist()
    if y2 - y1 < LEAST_HEIGHT_PX:
        return None
    return cut_face(padded, (x1, y1, x2, y2), person, str(path))


def cut_face(picture: U8, box: Box, person: str, name: str) -> Face:
    """A face of a BGR picture with its surroundings; `name` is the picture's, for messages."""
    x1, y1, x2, y2 = box
    reach, x, y = AROUND * (y2 - y1), (x1 + x2) / 2, (y1 + y2) / 2
    left, top = max(round(x - reach), 0), max(round(y - reach), 0)
    window = picture[top : round(y + reach), left : round(x + reach)]
    return Face(person, name, window, (x1 - left, y1 - top, x2 - left, y2 - top))


def persons_of(faces: Sequence[Face]) -> tuple[str, ...]:
    """The names of all people, sorted."""
    return tuple(sorted({face.person for face in faces}))
