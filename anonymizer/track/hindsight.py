"""Where everybody was in frames that are still held: before a track's first sighting, and between two of them.

Before the first sighting the Kalman filter runs backward in time, from the newest sighting to the oldest and on to the
frame. Between two sightings the path is a straight line; how far it may bend away is the variance of integrated white
acceleration between two known ends, q s^2 (T - s)^2 / (3 T) at time s of T (it follows from the process noise of
Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section 6.2.2).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anonymizer.track import kalman, motion
from anonymizer.track.kalman import F64
from anonymizer.types import Track, TrackState

MAX_SIGHTINGS = 64  # of one track; older ones go
_USED = 8  # sightings that a look behind the first one is based on: they tell speed and direction


@dataclass(frozen=True, slots=True)
class Sighting:
    """A track in a frame in which a detection supported it."""

    pts_ns: int
    track: Track


def backwards(sightings: Sequence[Sighting], pts_ns: int) -> Track:
    """The track at `pts_ns`, at or before its first sighting; `sightings` from the first on, at least one.

    The longer before and the fewer the sightings, the wider its spread. It is nowhere smaller than when first seen.
    """
    first = sightings[0]
    if pts_ns >= first.pts_ns:
        return first.track
    values = motion.centres(np.array([sighting.track.box for sighting in sightings[:_USED]], np.float64))
    targets = np.array([first.track.target], np.int32)
    newest = len(values) - 1
    belief = kalman.begin(values[newest:], motion.speeds(values[newest:], targets))
    for index in range(newest - 1, -1, -1):
        step_s = (sightings[index].pts_ns - sightings[index + 1].pts_ns) / 1e9
        belief = kalman.predict(belief, step_s, motion.agilities(belief.value, targets))
        belief = kalman.correct(belief, values[index : index + 1])
    belief = kalman.predict(belief, (pts_ns - first.pts_ns) / 1e9, motion.agilities(belief.value, targets))
    value = belief.value.copy()
    np.maximum(value[:, 2:], values[:1, 2:], out=value[:, 2:])
    return _unseen(first.track, value, belief.value_var, first.pts_ns - pts_ns)


def between(before: Sighting, after: Sighting, pts_ns: int) -> Track:
    """The track at `pts_ns`, between two of its sightings; the further from both, the wider its spread.

    Outside of the two it is the nearer sighting.
    """
    if pts_ns <= before.pts_ns:
        return before.track
    if pts_ns >= after.pts_ns:
        return after.track
    ends = motion.centres(np.array([before.track.box, after.track.box], np.float64))
    whole_s, since_s = (after.pts_ns - before.pts_ns) / 1e9, (pts_ns - before.pts_ns) / 1e9
    share = since_s / whole_s
    value = (1 - share) * ends[:1] + share * ends[1:]
    agility = motion.agilities(value, np.array([after.track.target], np.int32))
    bend_var = agility**2 * (since_s * (whole_s - since_s)) ** 2 / (3 * whole_s)
    nearest_ns = min(pts_ns - before.pts_ns, after.pts_ns - pts_ns)
    return _unseen(after.track, value, bend_var + kalman.measurement_var(value), nearest_ns)


class Hindsight:
    """The sightings of one camera's tracks over the last `span_ns`: pure arithmetic, used by one thread.

    The span is how long the tracker remembers whom it does not see, and how long frames are held.
    """

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._sightings: dict[int, list[Sighting]] = {}

    def record(self, tracks: Sequence[Track], pts_ns: int) -> None:
        """Take in the tracks of the newest frame that has detections; those that no detection supports are skipped."""
        for track in tracks:
            if track.unseen_ns == 0:
                seen = self._sightings.setdefault(track.track_id, [])
                if not seen or pts_ns > seen[-1].pts_ns:
                    seen.append(Sighting(pts_ns, track))
        for track_id, seen in list(self._sightings.items()):
            kept = _recent(seen, pts_ns - self._span_ns)
            if kept:
                self._sightings[track_id] = kept
            else:
                del self._sightings[track_id]

    def at(self, pts_ns: int, reach_ns: int) -> tuple[Track, ...]:
        """Everybody whose place at `pts_ns` a later sighting tells, up to `reach_ns` before the first one.

        Not among them: tracks that were seen before `pts_ns` and never since; the tracker predicts those.
        """
        return tuple(
            _placed(seen, pts_ns)
            for seen in self._sightings.values()
            if seen[0].pts_ns - reach_ns <= pts_ns <= seen[-1].pts_ns
        )

    def reset(self) -> None:
        """Forget everybody."""
        self._sightings.clear()


def _placed(seen: Sequence[Sighting], pts_ns: int) -> Track:
    index = bisect_left(seen, pts_ns, key=lambda sighting: sighting.pts_ns)
    if seen[index].pts_ns == pts_ns:
        return seen[index].track
    return between(seen[index - 1], seen[index], pts_ns) if index else backwards(seen, pts_ns)


def _recent(seen: list[Sighting], since_ns: int) -> list[Sighting]:
    """The sightings from `since_ns` on and the newest one before, so that nobody seems to be born there."""
    if seen[-1].pts_ns < since_ns:
        return []
    oldest = bisect_left(seen, since_ns, key=lambda sighting: sighting.pts_ns)
    return seen[max(oldest - 1, len(seen) - MAX_SIGHTINGS, 0) :]


def _unseen(track: Track, value: F64, value_var: F64, unseen_ns: int) -> Track:
    (x, y, width, height), (spread_x, spread_y) = value[0].tolist(), motion.limited_spread(value_var, value)[0].tolist()
    return replace(
        track,
        box=(x - width / 2, y - height / 2, x + width / 2, y + height / 2),
        state=track.state if track.state is TrackState.TENTATIVE else TrackState.COASTING,
        unseen_ns=unseen_ns,
        spread_px=(spread_x, spread_y),
    )
