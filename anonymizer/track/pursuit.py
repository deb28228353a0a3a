"""Looks for whoever the detector does not see by how they looked when it did: small patches, matched on the luma.

Normalised cross-correlation (Lewis, "Fast normalized cross-correlation", 1995) with the patch of the sighting, frame by
frame, in a window that moves along. Unless it is sure, what it finds is not believed alone: of whoever was detected
twice or more, the place where the motion leads is masked as well. Whoever is lost keeps the wide mask of somebody whose
place is unknown, and so does whoever is small: little tells them from their surroundings, and their wide mask hides
little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from anonymizer.track.hindsight import Hindsight, Sighting
from anonymizer.types import F32, U8, Frame, Track, TrackState

Box = tuple[float, float, float, float]

PATCH = 16.0  # pixels of a patch, the geometric mean of its sides; a window has REACH more on each side
REACH = 8  # so far somebody may move within it from one frame to the next, beside moving on as before
LEAST_PX = 12.0  # of whoever is looked for, the geometric mean of the sides
LIKENESS = 0.7  # least correlation with the patch; 1: the same picture but for brightness and contrast
SURE = 0.9  # correlation from which the place found is believed alone
LEAST_CONTRAST = 4.0  # standard deviation of luma in a patch that can be told from its surroundings
SPREAD = 0.07  # one sigma of a found place, of the longer side
MOST = 64  # people looked for in a frame; whoever comes later keeps the wide mask


@dataclass(frozen=True, slots=True)
class _Chase:
    """Somebody looked for, as of one frame."""

    patch: U8  # (h, w) of the sighting
    scale: float  # source pixels a pixel of the patch
    seen_ns: int  # PTS of the sighting
    box: Box
    step_px: tuple[float, float] = (0.0, 0.0)  # from the frame before to this one
    likeness: float = 1.0  # correlation of what is found in this frame with the patch


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A frame and whoever was detected in it: what they look like is asked only of those who are missed in the next."""

    frame: Frame
    tracks: Mapping[int, Track]

    def chase(self, track_id: int) -> _Chase | None:
        track = self.tracks.get(track_id)
        return None if track is None else begin(self.frame.planes.y, track.box, self.frame.pts_ns)


class Pursuit:
    """One camera's; used by one thread, which hands over frames in order; some may be missing."""

    def __init__(self, hindsight: Hindsight, tail_ns: int) -> None:
        """`tail_ns`: how long after the last sighting somebody counts whom the look-ahead does not show again."""
        self._hindsight = hindsight
        self._tail_ns = tail_ns
        self._newest: _Seen | None = None  # the newest frame handed over
        self._ahead: dict[int, _Chase] = {}  # by track, as of that frame
        self._behind: dict[int, dict[int, _Chase]] = {}  # by track and PTS, in frames before its first sighting

    def placed(
        self,
        frame: Frame,
        later: Iterable[Frame],
        expected: Sequence[Track],
        learnt: Sequence[Track],
        *,
        is_settled: bool,
    ) -> tuple[Track, ...]:
        """Everybody who counts in this frame, where it shows them; the frame was looked at or passed over.

        `later`: the frames held after it, in order; `expected`: the tracker's tracks; `learnt`: the hindsight's.
        `is_settled`: whether they tell all of the look-ahead; while they do not, nobody counts as gone. Nor, in a frame
        that was passed over, does whom the look before it found: they may have left after it.
        Between two sightings the place expected counts beside the one between them, and they are looked for around it:
        a sighting may be somebody else's.
        Not so where nobody has looked in between, and the later one was where the earlier one led to expect it.
        """
        told = {track.track_id for track in learnt}
        followed = {track.track_id for track in learnt if track.is_followed}
        born = [
            track
            for track in expected
            if (track.track_id in told or track.is_recent or track.unseen_ns <= self._tail_ns or not is_settled)
            and track.track_id not in followed
        ]
        histories = [(track, self._hindsight.sightings(track.track_id)) for track in learnt]
        missed = [track for track, sightings in histories if sightings[0].pts_ns <= frame.pts_ns]
        unborn = [(track, sightings) for track, sightings in histories if sightings[0].pts_ns > frame.pts_ns]
        return (*self._onwards(frame, born), *missed, *self._backwards(frame, later, unborn))

    def _onwards(self, frame: Frame, tracks: Sequence[Track]) -> list[Track]:
        """Those unseen since an earlier frame where they are found."""
        before = self._newest
        self._newest = _Seen(frame, {each.track_id: each for each in tracks if not each.unseen_ns})
        chased: dict[int, _Chase] = {}
        placed = []
        for track in tracks:
            chase = None
            if track.unseen_ns and len(chased) < MOST:
                chase = self._ahead.get(track.track_id)
                if chase is None and before is not None:
                    chase = before.chase(track.track_id)
                if chase is not None:
                    chase = follow(chase, frame.planes.y) if chase.seen_ns == frame.pts_ns - track.unseen_ns else None
            if chase is None:
                placed.append(track)
            else:
                chased[track.track_id] = chase
                placed.append(_at(track, chase, is_known=track.state is not TrackState.TENTATIVE))
        self._ahead = chased
        return placed

    def _backwards(
        self, frame: Frame, later: Iterable[Frame], unborn: Sequence[tuple[Track, Sequence[Sighting]]]
    ) -> list[Track]:
        """Those first seen after this frame where they are found in it."""
        fresh = [track.track_id for track, _ in unborn if track.track_id not in self._behind]
        skipped = set(fresh[MOST:])
        frames = [frame, *later] if fresh else []
        self._behind = {
            track.track_id: self._behind[track.track_id]
            if track.track_id in self._behind
            else dict(_trail(frames, sightings[0]))
            for track, sightings in unborn
            if track.track_id not in skipped
        }
        found = {at: trail[frame.pts_ns] for at, trail in self._behind.items() if frame.pts_ns in trail}
        return [
            _at(track, found[track.track_id], is_known=len(sightings) > 1) if track.track_id in found else track
            for track, sightings in unborn
        ]


def begin(luma: U8, box: Box, seen_ns: int) -> _Chase | None:
    """What somebody in the box looks like; None if there is too little to tell it by."""
    x1, y1, x2, y2 = box
    scale = float(np.sqrt(max(x2 - x1, 1.0) * max(y2 - y1, 1.0))) / PATCH
    if scale < LEAST_PX / PATCH:
        return None
    width, height = (max(4, round(side / scale)) for side in (x2 - x1, y2 - y1))
    patch = _cut(luma, ((x1 + x2) / 2, (y1 + y2) / 2), scale, (width, height))
    if patch is None or patch.std() < LEAST_CONTRAST:
        return None
    return _Chase(patch, scale, seen_ns, box)


def follow(chase: _Chase, luma: U8) -> _Chase | None:
    """The same in the frame before or after; None: lost."""
    x1, y1, x2, y2 = chase.box
    centre = (x1 + x2) / 2 + chase.step_px[0], (y1 + y2) / 2 + chase.step_px[1]
    height, width = chase.patch.shape
    window = _cut(luma, centre, chase.scale, (width + 2 * REACH, height + 2 * REACH))
    if window is None:
        return None
    likeness = np.asarray(cv2.matchTemplate(window, chase.patch, cv2.TM_CCOEFF_NORMED), np.float32)
    _, best, _, (column, row) = cv2.minMaxLoc(likeness)
    if not best >= LIKENESS:  # NaN is none
        return None
    across = column - REACH + _peak(likeness[row, :], column)
    down = row - REACH + _peak(likeness[:, column], row)
    dx, dy = chase.step_px[0] + chase.scale * across, chase.step_px[1] + chase.scale * down
    return replace(chase, box=(x1 + dx, y1 + dy, x2 + dx, y2 + dy), step_px=(dx, dy), likeness=float(best))


def _trail(frames: Sequence[Frame], first: Sighting) -> Iterable[tuple[int, _Chase]]:
    """PTS and what is found in the frames before the first sighting, back to the first frame or until lost."""
    chase: _Chase | None = None
    for frame in reversed(frames):
        if frame.pts_ns == first.pts_ns:
            chase = begin(frame.planes.y, first.track.box, frame.pts_ns)
        elif chase is not None:
            chase = follow(chase, frame.planes.y)
            if chase is None:
                return
            yield frame.pts_ns, chase


def _at(track: Track, found: _Chase, *, is_known: bool) -> Track:
    """The track where it is found; the box around that and where its motion leads, if known, unless it is sure."""
    x1, y1, x2, y2 = found.box
    excess_px = 0.0
    if is_known and found.likeness < SURE:
        left, top, right, bottom = track.box
        x1, y1, x2, y2 = min(x1, left), min(y1, top), max(x2, right), max(y2, bottom)
        excess_px = y2 - y1 - min(found.box[3] - found.box[1], bottom - top)
    spread = SPREAD * max(x2 - x1, y2 - y1)
    across, down = track.spread_px
    spread_px = (min(spread, across), min(spread, down))
    return replace(track, box=(x1, y1, x2, y2), spread_px=spread_px, excess_px=excess_px)


def _cut(luma: U8, centre: tuple[float, float], scale: float, size: tuple[int, int]) -> U8 | None:
    """The patch (h, w) of the size (w, h) around a point, `scale` source pixels a pixel; None outside the picture.

    Reduced by whole pixels' means first, so that fine detail does not flicker; the picture's edge goes on beyond it.
    """
    step = max(1, int(scale))
    spans = []
    for middle, count, length in zip(centre, size, luma.shape[::-1], strict=True):
        least, most = int(middle - scale * count / 2 - step), int(middle + scale * count / 2 + 2 * step)
        spans.append((max(least, 0) // step * step, min(most, length)))
    (left, right), (top, bottom) = spans
    if right - left < step or bottom - top < step:
        return None
    source = luma[top:bottom, left:right]
    if step > 1:
        small = ((right - left) // step, (bottom - top) // step)
        source = np.asarray(cv2.resize(source, small, interpolation=cv2.INTER_AREA), np.uint8)
    ratio = scale / step
    shifts = [
        (middle + scale * (0.5 - count / 2) - origin) / step - 0.5
        for middle, count, origin in zip(centre, size, (left, top), strict=True)
    ]
    matrix = np.array([[ratio, 0, shifts[0]], [0, ratio, shifts[1]]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(source, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _peak(values: F32, at: int) -> float:
    """How far beside its greatest value a parabola through it and its neighbours has its peak."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = (float(value) for value in values[at - 1 : at + 2])
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
