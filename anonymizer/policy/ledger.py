"""The votes of one camera about who its faces are, track by track; clock-free, time is the PTS of the frames.

A face may stay visible in a frame only between two votes that agree: the newest one up to the frame and the first one
from it on. Whoever takes a face's place between them is told by the later one, before the frame has left.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from anonymizer.geometry import iou_matrix
from anonymizer.policy.nearness import near
from anonymizer.types import F32, Detections, Doubt, FaceVote, Target, Track, TrackState

VOTES_TO_BEGIN = 4
VOTES_AFTER_DOUBT = 6  # once anything spoke against it
LONGEST_GAP_NS = 500_000_000  # between two votes with visible frames between them
SURE_WITHIN_NS = 1_000_000_000  # of a frame there must be a sure vote; the others may be near ones
CLAIM_NS = 1_000_000_000  # of a frame: within that another face's vote for the same person is a claim
FRESH_NS = 250_000_000  # whom a look at the frame does not find for longer may come back as somebody else
LIKE_ANOTHER = 0.04  # by which the next enrolled person must be further away
STAYS = 0.9  # of the least height: boxes shrink and grow by a tenth from frame to frame
SAME_IOU = 0.5  # of a track and the detection that supports it
KEPT_NS = 5_000_000_000  # longer than any frame is held
MOST_MARKS = 128  # of one track

_NEVER = 1_000_000  # votes


@dataclass(frozen=True, slots=True)
class Permit:
    """Who may stay visible on a camera, and how like them a face must be; distances as in `Likeness`."""

    names: frozenset[str]  # who stays visible; inverted: who must not, while everybody else does
    inverted: bool
    same_distance: float  # up to which a vote is sure
    near_distance: float  # up to which it does not speak against somebody who has sure votes
    other_distance: float  # from which on it says: not that person
    least_face_px: float  # height; somebody who is visible stays so down to STAYS of it


@dataclass(frozen=True, slots=True)
class Standing:
    """What the votes say of a face in one frame, if any are for its staying visible."""

    track_id: int
    who: str
    votes: int
    doubt: Doubt | None  # None: as far as votes tell, it may


@dataclass(frozen=True, slots=True)
class _Opinion:
    """One vote as the permit reads it."""

    who: str = ""  # empty: nobody who may stay visible
    is_sure: bool = False
    needed: int = VOTES_AFTER_DOUBT  # votes from now on


@dataclass(frozen=True, slots=True)
class _Mark:
    """An opinion in its row: without another one or a gap between them."""

    pts_ns: int
    who: str
    votes: int  # sure ones in the row up to this
    sure_ns: int | None  # PTS of the newest sure one in the row


@dataclass(slots=True)
class _Record:
    """All marks of a track, in order."""

    needed: int = VOTES_TO_BEGIN
    marks: deque[_Mark] = field(default_factory=lambda: deque(maxlen=MOST_MARKS))

    def add(self, opinion: _Opinion, pts_ns: int) -> None:
        last = self.marks[-1] if self.marks else None
        if last is not None and last.pts_ns >= pts_ns:  # time stands still or runs backwards: no order to rely on
            self.marks.clear()
            last, opinion = None, _Opinion()
        changed = last is not None and last.who != opinion.who
        self.needed = max(self.needed, opinion.needed, VOTES_AFTER_DOUBT if changed else 0)
        goes_on = last is not None and _in_a_row(last, opinion.who, pts_ns)
        votes, sure_ns = (last.votes, last.sure_ns) if last is not None and goes_on else (0, None)
        if opinion.is_sure:
            votes, sure_ns = votes + 1, pts_ns
        self.marks.append(_Mark(pts_ns, opinion.who, votes, sure_ns))

    def around(self, pts_ns: int) -> tuple[_Mark | None, _Mark | None]:
        """The newest mark up to a frame, and the first one from it on."""
        before = next((mark for mark in reversed(self.marks) if mark.pts_ns <= pts_ns), None)
        return before, next((mark for mark in self.marks if mark.pts_ns >= pts_ns), None)

    def votes_from(self, first: _Mark) -> int:
        """The sure votes of the row that a mark is part of, as far as it goes."""
        later = [mark for mark in self.marks if mark.pts_ns >= first.pts_ns]
        votes = first.votes
        for mark, following in pairwise(later):
            if not _in_a_row(mark, following.who, following.pts_ns):
                break
            votes = following.votes
        return votes


class Ledger:
    """Counts votes and says who may stay visible; used by one thread.

    Nothing is remembered of a track that another face came near to, or that was lost for a while: whoever it follows
    from then on has to be recognised anew, with more votes.
    """

    def __init__(self, permit: Permit) -> None:
        self._permit = permit
        self._records: dict[int, _Record] = {}

    def record(self, found: Detections, tracks: Sequence[Track], pts_ns: int) -> None:
        """Take in the votes of the frame at `pts_ns`; `tracks` are those that have taken in its detections."""
        faces = [track for track in tracks if track.target is Target.FACE]
        boxes = np.array([track.box for track in faces], np.float32).reshape(-1, 4)
        is_doubtful = (near(boxes, boxes, boxes, boxes) & ~np.eye(len(faces), dtype=np.bool_)).any(axis=1)
        is_doubtful |= np.array([track.unseen_ns > FRESH_NS for track in faces], np.bool_)
        for track, doubtful in zip(faces, is_doubtful.tolist(), strict=True):
            if doubtful:
                self._of(track).add(_Opinion(), pts_ns)
        for vote in found.votes:
            for at in np.flatnonzero(_supports(found.boxes[vote.index], boxes) & ~is_doubtful).tolist():
                self._of(faces[at]).add(_opinion(vote, self._permit), pts_ns)
        alive = {track.track_id for track in faces}
        self._records = {
            track_id: record
            for track_id, record in self._records.items()
            if track_id in alive or abs(pts_ns - record.marks[-1].pts_ns) <= KEPT_NS
        }

    def standings(self, tracks: Sequence[Track], pts_ns: int) -> tuple[Standing, ...]:
        """What the votes say of the faces among `tracks`, which are those of the frame at `pts_ns`.

        A track may be among them more than once, in several places.
        """
        faces: dict[int, list[Track]] = {}
        for track in tracks:
            if track.target is Target.FACE and track.track_id in self._records:
                faces.setdefault(track.track_id, []).append(track)
        claims = self._claims(faces, pts_ns)
        return tuple(
            standing
            for track_id, places in faces.items()
            for standing in self._standing(track_id, places, claims, pts_ns)
        )

    def reset(self) -> None:
        """Forget everybody."""
        self._records.clear()

    def _of(self, track: Track) -> _Record:
        return self._records.setdefault(track.track_id, _Record())

    def _claims(self, faces: dict[int, list[Track]], pts_ns: int) -> dict[str, set[int]]:
        """Which tracks have a vote for whom at about that time; several may well be somebody else than those named."""
        claims: dict[str, set[int]] = {}
        for track_id, places in faces.items() if not self._permit.inverted else ():
            if all(track.unseen_ns <= LONGEST_GAP_NS for track in places):
                for mark in self._records[track_id].marks:
                    if mark.who and abs(mark.pts_ns - pts_ns) <= CLAIM_NS:
                        claims.setdefault(mark.who, set()).add(track_id)
        return claims

    def _standing(
        self, track_id: int, places: Sequence[Track], claims: dict[str, set[int]], pts_ns: int
    ) -> Iterator[Standing]:
        record = self._records[track_id]
        before, after = record.around(pts_ns)
        who = next((mark.who for mark in (before, after) if mark is not None and mark.who), None)
        if who is None:
            return
        votes = 0 if after is None else record.votes_from(after)
        doubt = _doubt_of_votes(before, after, pts_ns)
        if any(track.state is TrackState.TENTATIVE or track.unseen_ns > LONGEST_GAP_NS for track in places):
            doubt = Doubt.STALE_TRACK
        elif any(track.box[3] - track.box[1] < STAYS * self._permit.least_face_px for track in places):
            doubt = Doubt.SMALL
        elif doubt is None and votes < record.needed:
            doubt = Doubt.FEW_VOTES
        elif doubt is None and len(claims.get(who, ())) > 1:
            doubt = Doubt.TWO_CLAIMS
        yield Standing(track_id, who, votes, doubt)


def _in_a_row(mark: _Mark, who: str, pts_ns: int) -> bool:
    """Whether an opinion goes on where the mark before it ended."""
    return mark.who == who and pts_ns - mark.pts_ns <= LONGEST_GAP_NS


def _supports(box: F32, tracks: F32) -> NDArray[np.bool_]:
    """Which tracks (N, 4) a detection belongs to (N,); none if it is more than one."""
    overlap = iou_matrix(tracks, box[None].astype(np.float32))[:, 0]
    is_same = overlap >= SAME_IOU
    return is_same if is_same.sum() == 1 else np.zeros_like(is_same)


def _opinion(vote: FaceVote, permit: Permit) -> _Opinion:
    distances = {likeness.name: likeness.distance for likeness in vote.likenesses}
    if not distances or not all(math.isfinite(distance) for distance in distances.values()):
        return _Opinion()
    if permit.inverted:
        return _opinion_of_others(vote, distances, permit)
    nearest, *others = sorted(vote.likenesses, key=lambda likeness: likeness.distance)
    if nearest.name not in permit.names or nearest.distance > permit.near_distance:
        return _Opinion()
    is_alone = all(other.distance - nearest.distance >= LIKE_ANOTHER for other in others)
    is_sure = vote.is_clear and is_alone and nearest.distance <= permit.same_distance
    return _Opinion(nearest.alias, is_sure, VOTES_TO_BEGIN)


def _opinion_of_others(vote: FaceVote, distances: dict[str, float], permit: Permit) -> _Opinion:
    """Where some must not be seen: whether it is none of them. Who was once like one of them stays masked."""
    if not permit.names <= distances.keys():
        return _Opinion()
    nearest = min(distances[name] for name in permit.names)
    if nearest >= permit.other_distance:
        aliases = sorted(likeness.alias for likeness in vote.likenesses if likeness.name in permit.names)
        return _Opinion(f"none of {', '.join(aliases)}", vote.is_clear)
    return _Opinion(needed=_NEVER if nearest <= permit.near_distance else VOTES_AFTER_DOUBT)


def _doubt_of_votes(before: _Mark | None, after: _Mark | None, pts_ns: int) -> Doubt | None:
    if before is None or after is None:
        return Doubt.NO_VOTE
    if before.who != after.who:
        return Doubt.DISAGREEMENT
    if after.pts_ns - before.pts_ns > LONGEST_GAP_NS:
        return Doubt.NO_VOTE
    sure = [mark.sure_ns for mark in (before, after) if mark.sure_ns is not None]
    return None if any(abs(pts_ns - sure_ns) <= SURE_WITHIN_NS for sure_ns in sure) else Doubt.NO_VOTE
