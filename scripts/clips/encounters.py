"""Clips in which people pass each other, near and far, with exact ground truth of whose face is where.

Portraits move across a still background on paths of their own, grow and shrink as if they came nearer and went away,
and those in front hide those behind. Used by `scripts.bench.recognition`, and by `scripts.bench.quiet`, where nobody is
there at first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from anonymizer.types import F32, U8, Size

FACE_PX = (56.0, 130.0)  # height of a face in the clip, from the farthest to the nearest
SPEED = (0.01, 0.05)  # widths of the picture a second
EDGE = 0.15  # widths of the picture beyond its sides, where nothing of anybody shows
ENTERING = 3.0  # times faster than those who pass each other
SWAY_PX = 6.0
LIGHT = 0.1  # by which it changes, up and down
NOISE = 3.0  # one sigma
CRF = 26


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """A portrait (H, W, 3) BGR of somebody and the face in it, x1 y1 x2 y2."""

    person: str
    picture: U8
    face: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Scene:
    """What all clips have in common."""

    size: Size = field(default_factory=lambda: Size(960, 540))
    fps: int = 15
    seconds: float = 7.0
    empty_s: float = 0.0  # before anybody comes, from beyond the edges; 0: they are there at once
    face_px: tuple[float, float] = FACE_PX

    @property
    def frames(self) -> int:
        """Pictures of a clip."""
        return round(self.fps * self.seconds)


@dataclass(frozen=True, slots=True)
class Sight:
    """A face in one frame."""

    person: str
    box: tuple[float, float, float, float]  # also where others hide it or the frame ends
    open_share: float  # of it that is in the frame and that nobody hides, 0-1


@dataclass(frozen=True, slots=True)
class _Walk:
    """The way of a card: middle of its face in fractions of the picture, and the face's height in pixels."""

    start: float
    speed: float
    y: float
    height: tuple[float, float]
    phase: float

    def at(self, seconds: float, share: float, size: Size) -> tuple[float, float, float]:
        x = (self.start + self.speed * seconds) * size.width
        y = self.y * size.height + SWAY_PX * np.sin(2 * np.pi * 0.5 * seconds + self.phase)
        return x, float(y), self.height[0] + share * (self.height[1] - self.height[0])


def make_encounter(cards: Sequence[Card], scene: Scene, clip: Path, rng: np.random.Generator) -> list[list[Sight]]:
    """Write a clip of all the cards, the first ones behind; who is where in each of its frames."""
    walks = [_walk(index, len(cards), scene, rng) for index in range(len(cards))]
    back = _background(scene.size, rng)
    sights = []
    with av.open(str(clip), "w") as sink:
        stream = sink.add_stream("libx264", rate=scene.fps, options={"preset": "veryfast", "crf": str(CRF), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = scene.size.width, scene.size.height, "yuv420p"
        stream.codec_context.thread_count = 1  # the same seed makes the same bytes
        for index in range(scene.frames):
            seconds = index / scene.fps
            places = [walk.at(seconds - scene.empty_s, index / scene.frames, scene.size) for walk in walks]
            picture, owner = _painted(cards, places, back)
            light = 1 + LIGHT * np.sin(2 * np.pi * 0.3 * seconds)
            grain = rng.normal(0, NOISE, picture.shape[:2]).astype(np.float32)[..., None]
            shown = np.clip(picture.astype(np.float32) * np.float32(light) + grain, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(shown, "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, scene.fps)
            sink.mux(stream.encode(frame))
            sights.append(list(_sights(cards, places, owner)))
        sink.mux(stream.encode(None))
    return sights


def _walk(index: int, count: int, scene: Scene, rng: np.random.Generator) -> _Walk:
    """Neighbours walk towards each other."""
    start = (index + 0.5) / count + rng.uniform(-0.08, 0.08)
    speed = rng.uniform(*SPEED) * (1 if start < 0.5 else -1)
    if scene.empty_s:
        start, speed = (-EDGE, ENTERING * speed) if speed > 0 else (1 + EDGE, ENTERING * speed)
    farthest, nearest = np.log(scene.face_px).tolist()
    far, near = np.exp(rng.uniform(farthest, nearest, 2)).tolist()
    return _Walk(start, speed, rng.uniform(0.3, 0.5), (far, near), rng.uniform(0, 6.28))


def _background(size: Size, rng: np.random.Generator) -> U8:
    """Large soft patches, in which there is nobody."""
    patches = rng.integers(60, 180, (5, 9, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(patches, (size.width, size.height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _painted(cards: Sequence[Card], places: Sequence[tuple[float, float, float]], back: U8) -> tuple[U8, F32]:
    """The picture, and whose card each pixel shows (H, W); -1: nobody's."""
    picture, owner = back.copy(), np.full(back.shape[:2], -1, np.float32)
    size = (back.shape[1], back.shape[0])
    for index, (card, place) in enumerate(zip(cards, places, strict=True)):
        matrix = _matrix(card, place)
        inside = cv2.warpAffine(np.full(card.picture.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
        cv2.copyTo(cv2.warpAffine(card.picture, matrix, size, flags=cv2.INTER_AREA), inside, picture)
        owner[inside > 0] = index
    return picture, owner


def _matrix(card: Card, place: tuple[float, float, float]) -> F32:
    x, y, height = place
    x1, y1, x2, y2 = card.face
    scale = height / (y2 - y1)
    return np.array([[scale, 0, x - scale * (x1 + x2) / 2], [0, scale, y - scale * (y1 + y2) / 2]], np.float32)


def _sights(cards: Sequence[Card], places: Sequence[tuple[float, float, float]], owner: F32) -> Iterator[Sight]:
    for index, (card, (x, y, height)) in enumerate(zip(cards, places, strict=True)):
        width = height * (card.face[2] - card.face[0]) / (card.face[3] - card.face[1])
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        left, top, right, bottom = (round(value) for value in box)
        cut = owner[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        whole = max((right - left) * (bottom - top), 1)
        yield Sight(card.person, box, float((cut == index).sum()) / whole)
