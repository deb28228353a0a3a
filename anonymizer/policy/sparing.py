"""Whom a frame leaves visible: faces that votes vouch for and nothing in it speaks against, with their bodies.

A body is what a person's box shows, and it is spared with the face in the middle of its upper part; so are further
boxes that show the same one. Of a box with room for another head above that face or beside it the face alone is spared:
somebody whose face nobody finds may stand behind. Where it is unclear whose body a box shows the face alone stays
visible, and that only if the head of whoever else it may be is known to be elsewhere. It is unclear, too, where two
boxes lie over a face that a look at the frame did not find: somebody may pass in front. Other people's masks are
painted over it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.geometry import iou_matrix
from anonymizer.policy.evidence import Box, Evidence
from anonymizer.policy.ledger import SAME_IOU
from anonymizer.policy.nearness import MOST_HIDDEN, MUCH_SMALLER, covered, near
from anonymizer.policy.openings import as_box, has_head_elsewhere, is_on, opened
from anonymizer.policy.people import SPREAD_SIGMAS
from anonymizer.types import F32, Detections, Doubt, Refused, Region, Spared, Target, Track

ASIDE = 0.3  # of a body's width, from its middle: further off are 3 in 100 clear faces that have one body to themselves
ABOVE = 0.8  # of a face's height, to the top of its body's box: more have 3 in 100 lone clear faces
BESIDE = 1.2  # the same, to a side: of a face behind, in a body of usual width, less than half shows in as much
SAME_BODY = 0.7  # of a person's box lies in another one of the same person: one shows less of them, or is older

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sparing:
    """Who stays visible, who might have, and the evidence that is left to be masked."""

    rest: Evidence
    spared: tuple[Spared, ...] = ()
    refused: tuple[Refused, ...] = ()
    own: frozenset[tuple[Box, int | None]] = frozenset()  # spared faces, each with a track that is masked around it

    def over(self, regions: Iterable[Region]) -> Iterable[Region]:
        """The masks of everybody else, with openings for those who stay visible where nothing speaks against it."""
        if not self.spared:
            return regions
        faces = [as_box(box) for found in self.rest.found for box in found.boxes[found.class_ids == Target.FACE]]
        faces += [track.box for track in self.rest.tracks if track.target is Target.FACE]
        return opened(regions, [face.box for face in self.spared], faces, self.rest.tracks, self.own)


@dataclass(frozen=True, slots=True, eq=False)
class _Somebody:
    """Everything that is one face, or one person, in a frame: all places of a track and the detections on it."""

    boxes: F32  # (N, 4), N at least 1
    reach: F32  # (N, 4) around them where they may be
    track_id: int | None
    is_found: tuple[Flags, ...]  # (M,) for each of the evidence's detections, which of them are this one

    @property
    def hull(self) -> F32:
        """The box (4,) around all of it."""
        return _hull(self.boxes)

    @property
    def around(self) -> F32:
        """The same, and where it may be."""
        return _hull(self.reach)


def _hull(boxes: F32) -> F32:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def spare(evidence: Evidence) -> Sparing:
    """Apply the standings of the evidence; whoever is in doubt is among what is left."""
    if not evidence.standings:
        return Sparing(evidence)
    faces = _everybody(evidence, Target.FACE)
    persons = _everybody(evidence, Target.PERSON)
    spared: list[Spared] = []
    refused: list[Refused] = []
    gone: list[_Somebody] = []
    own: set[tuple[Box, int | None]] = set()
    for standing in evidence.standings:
        face = next(face for face in faces if face.track_id == standing.track_id)
        others = [other for other in faces if other is not face]
        bodies = [person for person in persons if (_covering(face, person) > MOST_HIDDEN).any()]
        is_missed = evidence.detections is not None and not any(flags.any() for flags in face.is_found)
        unclear = list(bodies) if is_missed and len(bodies) > 1 else _unclear(face, others, bodies)
        roomy = [body for body in bodies if body not in unclear and _has_room(face, body)]
        unclear += [body for body in roomy if body.track_id is None]  # its mask could not be told from others'
        doubt = standing.doubt or _doubt_of_place(face, others, unclear)
        if doubt is None:
            spared.append(Spared(standing.track_id, standing.who, standing.votes, as_box(face.hull)))
            gone += [face, *(body for body in bodies if body not in unclear and body not in roomy)]
            own |= {(as_box(face.hull), body.track_id) for body in roomy}
        else:
            refused.append(Refused(standing.track_id, standing.who, doubt))
    return Sparing(_without(evidence, gone), tuple(spared), tuple(refused), frozenset(own))


def _doubt_of_place(face: _Somebody, others: Sequence[_Somebody], unclear: Sequence[_Somebody]) -> Doubt | None:
    if any(_are_near(face, other) for other in others):
        return Doubt.NEAR_FACE
    here, elsewhere = as_box(face.around), [as_box(other.boxes[0]) for other in others]
    boxes = [as_box(body.boxes[0]) for body in unclear]
    return None if all(has_head_elsewhere(box, here, elsewhere) for box in boxes) else Doubt.COVERED


def _are_near(face: _Somebody, other: _Somebody) -> bool:
    around, reach = (np.tile(one.around, (len(one.boxes), 1)) for one in (face, other))
    return bool(near(face.boxes, other.boxes, around, reach).any())


def _unclear(face: _Somebody, others: Sequence[_Somebody], bodies: Sequence[_Somebody]) -> list[_Somebody]:
    """The bodies over a face that may be somebody else's."""
    if not bodies:
        return []
    mine = as_box(face.boxes[0])
    main = max(bodies, key=lambda body: any(flags.any() for flags in body.is_found)).boxes[0]
    height = MUCH_SMALLER * (mine[3] - mine[1])
    rivals = [other.boxes[0] for other in others if other.boxes[0, 3] - other.boxes[0, 1] >= height]

    def is_clear(box: F32) -> bool:
        is_same = is_on(mine, as_box(box)) and not _is_aside(mine, box) and _in_common(box, main) >= SAME_BODY
        return is_same and not any(_is_within(rival, box) for rival in rivals)

    return [body for body in bodies if not is_clear(body.boxes[0])]


def _covering(face: _Somebody, person: _Somebody) -> F32:
    """Which share of a face each place of a person covers; where else they may be is masked anyway."""
    return np.asarray(np.max([covered(place, person.boxes) for place in face.boxes], axis=0), np.float32)


def _in_common(one: F32, other: F32) -> float:
    """Which share of the smaller box the larger one covers."""
    return float(max(covered(one, other[None])[0], covered(other, one[None])[0]))


def _is_aside(face: Box, body: F32) -> bool:
    """Whether a face is where a body seldom has its own: somebody else's, whose face nobody sees, may stand beside."""
    return bool(abs(face[0] + face[2] - body[0] - body[2]) > 2 * ASIDE * (body[2] - body[0]))


def _has_room(face: _Somebody, body: _Somebody) -> bool:
    """Whether another head may be in a body's box, above that of a face or beside it."""
    x1, y1, x2, y2 = as_box(face.hull)
    height, (left, top, right, _) = y2 - y1, as_box(body.hull)
    return y1 - top > ABOVE * height or max(x1 - left, right - x2) > BESIDE * height


def _is_within(face: F32, body: F32) -> bool:
    x, y = (face[:2] + face[2:]) / 2
    return bool(body[0] <= x <= body[2] and body[1] <= y <= body[3])


def _everybody(evidence: Evidence, target: Target) -> list[_Somebody]:
    """All faces, or all persons: those that are followed, and those only found."""
    places: dict[int, list[Track]] = {}
    for track in evidence.tracks:
        if track.target is target:
            places.setdefault(track.track_id, []).append(track)
    nobody = tuple(np.zeros(len(found), np.bool_) for found in evidence.found)
    taken = nobody
    everybody = []
    for track_id, tracks in places.items():
        boxes = np.array([track.box for track in tracks], np.float32)
        reach = np.array([_reach(track) for track in tracks], np.float32)
        own = tuple(_on(found, boxes, target) for found in evidence.found)
        taken = tuple(before | now for before, now in zip(taken, own, strict=True))
        everybody.append(_Somebody(boxes, reach, track_id, own))
    for at, (found, followed) in enumerate(zip(evidence.found, taken, strict=True)):
        for index in np.flatnonzero((found.class_ids == target) & ~followed).tolist():
            alone = [flags.copy() for flags in nobody]
            alone[at][index] = True
            box = found.boxes[index][None]
            everybody.append(_Somebody(box, box, None, tuple(alone)))
    return everybody


def _reach(track: Track) -> Box:
    """Where the track may be."""
    x1, y1, x2, y2 = track.box
    dx, dy = (SPREAD_SIGMAS * spread for spread in (track.spread_px if track.unseen_ns else (0.0, 0.0)))
    return x1 - dx, y1 - dy, x2 + dx, y2 + dy


def _on(found: Detections, boxes: F32, target: Target) -> Flags:
    """Which detections lie on a track."""
    is_on: Flags = (iou_matrix(boxes, found.boxes) >= SAME_IOU).any(axis=0) & (found.class_ids == target)
    return is_on


def _without(evidence: Evidence, gone: Iterable[_Somebody]) -> Evidence:
    """The evidence about everybody else."""
    gone = tuple(gone)
    ids = {one.track_id for one in gone}
    kept = [np.ones(len(found), np.bool_) for found in evidence.found]
    for one in gone:
        kept = [flags & ~own for flags, own in zip(kept, one.is_found, strict=True)]
    left = iter([_chosen(found, flags) for found, flags in zip(evidence.found, kept, strict=True)])
    return dataclasses.replace(
        evidence,
        detections=None if evidence.detections is None else next(left),
        later=None if evidence.later is None else next(left),
        tracks=tuple(track for track in evidence.tracks if track.track_id not in ids),
    )


def _chosen(found: Detections, flags: Flags) -> Detections:
    return dataclasses.replace(
        found, boxes=found.boxes[flags], scores=found.scores[flags], class_ids=found.class_ids[flags], votes=()
    )
