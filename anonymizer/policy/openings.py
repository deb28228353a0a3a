"""Leaves spared faces open in masks of something else: others' bodies, and guesses where a far face may be by now.

A mask is cut only if the head that it hides is known to be elsewhere, or is the spared one as far as anybody knows.
The opening is the spared face's box: that face was recognised in it, and no other face is near.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from anonymizer.policy.evidence import Box
from anonymizer.policy.nearness import MOST_HIDDEN, MUCH_SMALLER, covered
from anonymizer.policy.people import SPREAD_SIGMAS
from anonymizer.types import F32, Region, Shape, Target, Track

HEAD_WITHIN = 0.35  # of a body's height, from the top
FACE_WITHIN = 0.6  # there a face has its middle
FACE_OF_BODY = 0.5  # a face has at most this share of its body's height


def as_box(box: F32) -> Box:
    """The sides of a box (4,)."""
    x1, y1, x2, y2 = box.tolist()
    return x1, y1, x2, y2


def is_on(face: Box, body: Box) -> bool:
    """Whether a face is where a body has its own."""
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return body[0] <= x <= body[2] and body[1] <= y <= body[1] + FACE_WITHIN * (body[3] - body[1])


def has_head_elsewhere(body: Box, face: Box, others: Iterable[Box]) -> bool:
    """Whether a body cannot have its head where a face is: another face is on it, or the face is too far down."""
    if any(_height(other) >= MUCH_SMALLER * _height(face) and _belongs(other, body) for other in others):
        return True
    return not _meet(face, (*body[:3], body[1] + HEAD_WITHIN * _height(body)))


def opened(
    regions: Iterable[Region],
    spared: Sequence[Box],
    faces: Sequence[Box],
    tracks: Sequence[Track],
    own: Collection[tuple[Box, int | None]] = (),
) -> Iterator[Region]:
    """The regions with openings for the spared faces; `faces` and `tracks` are those of everybody else.

    `own` are spared faces, each with the track of a body that may be theirs, or somebody's behind it.
    """
    for region in regions:
        if region.outline is not None:
            yield region
            continue
        places = [track for track in tracks if track.track_id == region.track_id and _meet(region.box, track.box)]
        touched = [face for face in spared if _meet(region.box, face)]
        free = [
            face
            for face in touched
            if (face, region.track_id) in own or _is_elsewhere(region, places, face, [*faces, *spared])
        ]
        guessed = [face for face in touched if face not in free and places and all(_is_guess(t, face) for t in places)]
        parts = [region]
        for hole in (*free, *guessed):
            parts = [part for whole in parts for part in _around(whole, hole)]
        yield from parts
        if guessed:  # where a guess begins stays masked, over the opening as well
            yield from (dataclasses.replace(region, box=_scaled(track, region.box)) for track in places)


def _is_elsewhere(region: Region, places: Sequence[Track], face: Box, faces: Sequence[Box]) -> bool:
    """Whether a region is of a body, a track's or a mere detection, that has its head elsewhere."""
    others = [other for other in faces if other != face]
    boxes = [track.box for track in places] or [region.box]
    return region.target is Target.PERSON and all(has_head_elsewhere(box, face, others) for box in boxes)


def _belongs(face: Box, body: Box) -> bool:
    """Whether a face is a body's; one that is large in it is so further down, too: it shows head and shoulders only."""
    y = (face[1] + face[3]) / 2
    is_large = _height(face) >= HEAD_WITHIN * _height(body) and body[0] <= face[0] and face[2] <= body[2]
    return is_on(face, body) or (is_large and body[1] <= y <= body[3])


def _is_guess(track: Track, face: Box) -> bool:
    """Whether nobody saw a track in this frame, and it is too far away or too far aside to be in front of a face."""
    is_body = track.target is Target.PERSON
    if is_body and covered(np.array(face, np.float32), np.array([track.box], np.float32))[0] <= MOST_HIDDEN:
        return bool(track.unseen_ns)
    share = FACE_OF_BODY if is_body else 1.0
    return bool(track.unseen_ns) and share * _height(track.box) < MUCH_SMALLER * _height(face)


def _scaled(track: Track, box: Box) -> Box:
    """A track's own box with the margin that a region has around the track and its spread."""
    x1, y1, x2, y2 = track.box
    dx, dy = (SPREAD_SIGMAS * spread for spread in track.spread_px)
    across = (box[2] - box[0]) / max(x2 - x1 + 2 * dx, 1.0) - 1
    down = (box[3] - box[1]) / max(y2 - y1 + 2 * dy, 1.0) - 1
    grow_x, grow_y = max(across, 0.0) * (x2 - x1) / 2, max(down, 0.0) * (y2 - y1) / 2
    return x1 - grow_x, y1 - grow_y, x2 + grow_x, y2 + grow_y


def _around(region: Region, hole: Box) -> Iterator[Region]:
    """A region without a hole, as boxes: above, below, and on both sides."""
    x1, y1, x2, y2 = region.box
    if not _meet(region.box, hole):
        yield region
        return
    top, bottom = max(y1, hole[1]), min(y2, hole[3])
    for box in ((x1, y1, x2, top), (x1, bottom, x2, y2), (x1, top, hole[0], bottom), (hole[2], top, x2, bottom)):
        if box[0] < box[2] and box[1] < box[3]:
            yield dataclasses.replace(region, box=box, shape=Shape.BOX)


def _meet(one: Box, other: Box) -> bool:
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3])


def _height(box: Box) -> float:
    return box[3] - box[1]
