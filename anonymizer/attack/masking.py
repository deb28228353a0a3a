"""Faces as the daemon publishes them: scaled, masked by the daemon's own redactor, and cut out again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from anonymizer.attack.people import Face
from anonymizer.identify.chip import cut_chip
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.stills import BT601, frame_of
from anonymizer.types import U8, Box, Frame, Planes, Reason, RedactionPlan, Region, Target

CHIP_PX = 150
JITTER = 0.04  # one sigma of how a face's box differs from frame to frame, in heights of the face
SWAY_PX = 3  # how far the face itself moves at most


@dataclass(frozen=True, slots=True)
class Look:
    """One way of masking, by name; without settings nothing is masked, which shows the most that an attack can do."""

    name: str
    settings: RedactSettings | None


def published(face: Face, look: Look, height_px: int, count: int, rng: np.random.Generator) -> Iterator[tuple[U8, U8]]:
    """A face in `count` frames of one track: the published picture and the chip of the face, both RGB.

    The picture is scaled so that the face is `height_px` high. From the second frame on, face and box move a little, as
    those of live people do. The chip is cut where the face really is, as if the attacker knew that.
    """
    redactor = None if look.settings is None else Redactor(look.settings)
    still, box = _scaled(face, height_px)
    for seq in range(count):
        sway = rng.integers(-SWAY_PX, SWAY_PX + 1, 2) if seq else np.zeros(2, int)
        moved = (box[0] + sway[0], box[1] + sway[1], box[2] + sway[0], box[3] + sway[1])
        frame = frame_of(np.roll(still, (sway[1], sway[0]), axis=(0, 1)), "attack", seq)
        planes = frame.planes
        if redactor is not None and look.settings is not None:
            seen = _jittered(moved, rng) if seq else moved
            planes = _masked(redactor, look.settings, frame, seen)
        yield _rgb(planes), cut_chip(planes, BT601, moved, CHIP_PX)


def _masked(redactor: Redactor, settings: RedactSettings, frame: Frame, box: Box) -> Planes:
    mask = settings.face
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * mask.margin, (y2 - y1) * mask.margin
    grown = (x1 - dx, y1 - dy, x2 + dx, y2 + dy)
    region = Region(grown, mask.shape, mask.effect, Reason.DETECTION, Target.FACE, track_id=1)
    return redactor.redact(frame, RedactionPlan(frame.seq, (region,))).planes


def _scaled(face: Face, height_px: int) -> tuple[U8, Box]:
    scale = height_px / (face.box[3] - face.box[1])
    rows, columns = (max(2 * round(scale * side / 2), 2) for side in face.window.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    window = np.asarray(cv2.resize(face.window, (columns, rows), interpolation=method), np.uint8)
    across, down = columns / face.window.shape[1], rows / face.window.shape[0]
    x1, y1, x2, y2 = face.box
    return window, (x1 * across, y1 * down, x2 * across, y2 * down)


def _jittered(box: Box, rng: np.random.Generator) -> Box:
    dx1, dy1, dx2, dy2 = rng.normal(0, JITTER * (box[3] - box[1]), 4).tolist()
    return box[0] + dx1, box[1] + dy1, max(box[2] + dx2, box[0] + dx1 + 2), max(box[3] + dy2, box[1] + dy1 + 2)


def _rgb(planes: Planes) -> U8:
    i420 = np.concatenate([plane.reshape(-1) for plane in (planes.y, planes.u, planes.v)])
    height, width = planes.y.shape
    return np.asarray(cv2.cvtColor(i420.reshape(height * 3 // 2, width), cv2.COLOR_YUV2RGB_I420), np.uint8)
