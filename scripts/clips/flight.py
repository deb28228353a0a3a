"""Where a virtual camera looks on a still: a window that rests, glides from face to face, zooms and shakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, Size

F64 = NDArray[np.float64]

PAN_LIMIT = 0.2  # window widths a second, on average; twice that is a turn, in which frames are masked whole
ZOOM_LIMIT = 0.3  # natural logarithm of the scale a second
FACE_PX = (12.0, 96.0)  # height in the clip of the face that is looked at
REST_S = 0.8  # at each face
GLIDE_S = 1.6  # from one to the next
LEG_S = REST_S + GLIDE_S
SHAKE = 0.002  # one sigma of a hand's tremor, in window widths


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """The window of every frame on the still: centres (F, 2) and widths (F,) in pixels of the still."""

    centres: F64
    widths: F64


def fly(still: Size, faces: F32, out: Size, frames: int, fps: float, rng: np.random.Generator) -> Flight:
    """A flight of `frames` that looks at some of the `faces` (N, 4), N at least 1, and never leaves the still."""
    aspect = out.height / out.width
    widest = min(still.width, still.height / aspect)
    stops = [_stop(faces, out, widest, rng)]
    while (len(stops) - 1) * LEG_S * fps < frames:
        stops.append(_limited(stops[-1], _stop(faces, out, widest, rng)))
    at = np.arange(frames) / (LEG_S * fps)
    leg = at.astype(int)
    glided = np.clip(((at - leg) * LEG_S - REST_S) / GLIDE_S, 0, 1)
    ease = ((1 - np.cos(np.pi * glided)) / 2)[:, None]
    table = np.array(stops)
    path = (1 - ease) * table[leg] + ease * table[leg + 1]
    widths = np.exp(path[:, 2])
    centres = path[:, :2] + _shake(frames, fps, rng) * widths[:, None]
    half = np.stack([widths, widths * aspect], axis=1) / 2
    return Flight(np.clip(centres, half, np.array([still.width, still.height]) - half), widths)


def _stop(faces: F32, out: Size, widest: float, rng: np.random.Generator) -> F64:
    """Centre x, centre y and logarithm of the width of a window in which a face has a height drawn from FACE_PX."""
    x1, y1, x2, y2 = faces[rng.integers(len(faces))].tolist()
    height = np.exp(rng.uniform(*np.log(FACE_PX)))
    width = min((y2 - y1) / height * out.width, widest)
    off = rng.uniform(-0.3, 0.3, 2) * width
    return np.array([(x1 + x2) / 2 + off[0], (y1 + y2) / 2 + off[1], np.log(max(width, widest / 4))])


def _limited(before: F64, after: F64) -> F64:
    """The stop, or the way there as far as the limits of pan and zoom allow within a glide."""
    step = after - before
    pan = np.hypot(step[0], step[1]) / np.exp(min(before[2], after[2]))
    excess = max(pan / (PAN_LIMIT * GLIDE_S), abs(step[2]) / (ZOOM_LIMIT * GLIDE_S), 1.0)
    return np.asarray(before + step / excess)


def _shake(frames: int, fps: float, rng: np.random.Generator) -> F64:
    """A tremor (F, 2) of a few Hertz."""
    seconds = np.arange(frames)[:, None, None] / fps
    tones = rng.uniform(1, 6, (1, 4, 2))
    waves = np.sin(2 * np.pi * (tones * seconds + rng.uniform(0, 1, (1, 4, 2))))
    return np.asarray(SHAKE * waves.sum(axis=1) / np.sqrt(2))
