"""Finds the one face of a photo and makes templates of it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymizer.errors import GalleryError
from anonymizer.identify.embedder import FaceEmbedder, Look, look_at, unit
from anonymizer.identify.variants import variants
from anonymizer.stills import BT601, decode, frame_of, planes_of
from anonymizer.types import F32, U8, Box, Detections, Frame, Target

SURE_SCORE = 0.5  # of a face
PAD = 0.3  # of a photo's sides are added around it by repeating its edge: models miss faces that fill a photo

Find = Callable[[Frame], Detections]


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture (H, W, 3) BGR and the face in it."""

    picture: U8
    face: Box


def find_portrait(photo: Path, find: Find, least_px: float) -> Portrait:
    """The face of a photo; raises GalleryError unless there is exactly one, at least `least_px` high."""
    picture = _read(photo)
    rows, columns = (round(PAD * side) for side in picture.shape[:2])
    padded = np.asarray(cv2.copyMakeBorder(picture, rows, rows, columns, columns, cv2.BORDER_REPLICATE), np.uint8)
    found = find(frame_of(padded, photo.name))
    faces = found.boxes[(found.class_ids == Target.FACE) & (found.scores >= SURE_SCORE)]
    if not len(faces):
        raise GalleryError(f"{photo}: no face was found; take a photo that shows it from the front, in good light")
    if len(faces) > 1:
        raise GalleryError(f"{photo}: shows {len(faces)} faces; cut out the one that is meant")
    x1, y1, x2, y2 = faces[0].tolist()
    if y2 - y1 < least_px:
        raise GalleryError(f"{photo}: the face is {y2 - y1:.0f} px high, {least_px:g} are needed; take a larger photo")
    return Portrait(padded, (x1, y1, x2, y2))


def _read(photo: Path) -> U8:
    try:
        is_file = stat.S_ISREG(photo.stat().st_mode)  # reading a pipe would wait for ever
        data = photo.read_bytes() if is_file else b""
    except FileNotFoundError:
        raise GalleryError(f"{photo}: is missing; write where the photo is") from None
    except OSError as error:
        raise GalleryError(f"{photo}: cannot be read: {error.strerror}") from error
    picture = decode(data)
    if picture is None:
        raise GalleryError(f"{photo}: is no picture that can be read; save it as JPEG or PNG")
    return picture


def look_of(portrait: Portrait, embedder: FaceEmbedder) -> Look:
    """The look of the face in the photo itself; raises InvalidOutputError, ModelError."""
    return look_at(embedder.chip(planes_of(portrait.picture), BT601, portrait.face), embedder)


def templates_of(portrait: Portrait, embedder: FaceEmbedder) -> F32:
    """Embeddings (N, D) of length 1, of the photo and its variants; raises InvalidOutputError, ModelError."""
    looks = variants(portrait.picture, portrait.face)
    return np.stack([unit(embedder.embed(planes_of(picture), BT601, face)) for picture, face in looks])
