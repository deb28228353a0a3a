"""The one face of a photo, and the templates that are made of it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from anonymizer.errors import GalleryError
from anonymizer.identify.embedder import FaceEmbedder, Look, look_at, unit
from anonymizer.identify.variants import Box, variants
from anonymizer.types import F32, U8, Colour, Detections, Frame, Planes, Target

SURE_SCORE = 0.5  # of a face
PAD = 0.3  # of a photo's sides, repeated edge: faces that fill a photo are found only with something around them
_BT601 = Colour(full_range=False, bt709=False)  # what cv2 makes of BGR

Find = Callable[[Frame], Detections]


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture (H, W, 3) BGR and the face in it."""

    picture: U8
    face: Box


def find_portrait(photo: Path, find: Find, least_px: float) -> Portrait:
    """The face of a photo; raises GalleryError where there is not just one, or it is lower than `least_px`."""
    picture = _read(photo)
    rows, columns = (round(PAD * side) for side in picture.shape[:2])
    padded = np.asarray(cv2.copyMakeBorder(picture, rows, rows, columns, columns, cv2.BORDER_REPLICATE), np.uint8)
    planes = planes_of(padded)
    found = find(Frame(photo.name, 0, epoch=0, pts_ns=0, captured_ns=0, wall_ns=0, planes=planes, colour=_BT601))
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
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:  # too large, for one
        picture = None
    if picture is None:
        raise GalleryError(f"{photo}: is no picture that can be read")
    return np.asarray(picture, np.uint8)


def look_of(portrait: Portrait, embedder: FaceEmbedder) -> Look:
    """What a camera would see of the photo itself; raises InvalidOutputError, ModelError."""
    return look_at(embedder.chip(planes_of(portrait.picture), _BT601, portrait.face), embedder)


def templates_of(portrait: Portrait, embedder: FaceEmbedder) -> F32:
    """Embeddings (N, D) of length 1, of the photo and its variants; raises InvalidOutputError, ModelError."""
    looks = variants(portrait.picture, portrait.face)
    return np.stack([unit(embedder.embed(planes_of(picture), _BT601, face)) for picture, face in looks])


def planes_of(picture: U8) -> Planes:
    """A picture (H, W, 3) BGR as a camera sends it, BT.601 video range; an odd last row or column goes."""
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    i420 = cast(U8, cv2.cvtColor(np.ascontiguousarray(picture[:height, :width]), cv2.COLOR_BGR2YUV_I420))
    u, v = i420[height:].reshape(2, height // 2, width // 2)
    return Planes(i420[:height], u, v)
