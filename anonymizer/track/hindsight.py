"""Where everybody was in frames that are still held: before a track's first sighting, and between two of them.

Before the first sighting the Kalman filter runs backward in time, from the newest sighting to the oldest and on to the
frame. Between two sightings the path is a straight line. How far it may bend away is the variance of integrated white
acceleration between two known ends, q s^2 (T - s)^2 / (3 T) at time s of T (it follows from the process noise of
Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section 6.2.2). For
persons, whose boxes vary with how much of them is seen, what the tracker was unsure of at each end comes to that, the
less the further away the end is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anonymizer.pose import STILL, Pose
from anonymizer.track import kalman, motion
from anonymizer.track.kalman import F64, Belief
from anonymizer.types import Target, Track, TrackState

MAX_SIGHTINGS = 64  # of one track; older ones go
_USED = 8  # sightings that a look behind the first one is based on: they tell speed and direction


@dataclass(frozen=True, slots=True)
class Sighting:
    """A track in a frame in which a detection supported it."""

    pts_ns: int
    track: Track
    pose: Pose = STILL  # of the camera in that frame

    def seen_from(self, pose: Pose) -> Sighting:
        """The same sighting in the pixels of a frame in which the camera points elsewhere."""
        turn = pose.since(self.pose)
        if turn == STILL:
            return self
        (x1, y1, x2, y2), (across, down), scale = self.track.box, self.track.spread_px, turn.scale
        box = (scale * x1 + turn.dx, scale * y1 + turn.dy, scale * x2 + turn.dx, scale * y2 + turn.dy)
        return Sighting(self.pts_ns, replace(self.track, box=box, spread_px=(scale * across, scale * down)), pose)


def backwards(histories: Sequence[Sequence[Sighting]], pts_ns: int) -> list[Track]:
    """Tracks at `pts_ns`, before the first of their sightings; each history begins with that and is not empty.

    The longer before and the fewer the sightings, the wider the spread. Nobody is smaller than when first seen.
    """
    if not histories:
        return []
    used = [history[:_USED] for history in histories]
    counts = np.array([len(history) for history in used])
    steps = int(counts.max())
    boxes = np.array([[history[min(at, len(history) - 1)].track.box for history in used] for at in range(steps)])
    times_s = np.array([[history[min(at, len(history) - 1)].pts_ns / 1e9 for history in used] for at in range(steps)])
    values = motion.centres(boxes.reshape(-1, 4)).reshape(boxes.shape)  # (steps, N, 4)
    targets = np.array([history[0].track.target for history in used], np.int32)
    belief = kalman.begin(values[-1], motion.speeds(values[-1], targets))
    for at in range(steps - 2, -1, -1):  # a shorter history repeats its newest sighting, and begins anew there
        step_s = (times_s[at] - times_s[at + 1])[:, None]
        moved = kalman.predict(belief, step_s, motion.agilities(belief.value, targets))
        corrected, begun = (
            kalman.correct(moved, values[at]),
            kalman.begin(values[at], motion.speeds(values[at], targets)),
        )
        belief = Belief(np.where((at + 1 < counts)[:, None], corrected.moments, begun.moments))
    back_s = (pts_ns / 1e9 - times_s[0])[:, None]
    belief = kalman.predict(belief, back_s, motion.agilities(belief.value, targets))
    value = belief.value.copy()
    np.maximum(value[:, 2:], values[0, :, 2:], out=value[:, 2:])
    unseen_ns = [history[0].pts_ns - pts_ns for history in used]
    return _unseen([history[0].track for history in used], value, belief.value_var, unseen_ns)


def between(pairs: Sequence[tuple[Sighting, Sighting]], pts_ns: int) -> list[Track]:
    """Tracks at `pts_ns`, between two of their sightings; the further from both, the wider the spread."""
    if not pairs:
        return []
    befores, afters = (motion.centres(np.array([pair[side].track.box for pair in pairs])) for side in (0, 1))
    whole_s = np.array([after.pts_ns - before.pts_ns for before, after in pairs])[:, None] / 1e9
    since_s = np.array([pts_ns - before.pts_ns for before, _ in pairs])[:, None] / 1e9
    share = since_s / whole_s
    value = befores + share * (afters - befores)
    spreads = [np.array([pair[side].track.spread_px for pair in pairs]) for side in (0, 1)]
    targets = np.array([after.track.target for _, after in pairs], np.int32)
    agility = motion.agilities(value, targets)
    value_var = agility**2 * (since_s * (whole_s - since_s)) ** 2 / (3 * whole_s)
    is_person = (targets == Target.PERSON)[:, None]
    value_var[:, :2] += is_person * (((1 - share) * spreads[0]) ** 2 + (share * spreads[1]) ** 2)
    nearest_ns = [min(pts_ns - before.pts_ns, after.pts_ns - pts_ns) for before, after in pairs]
    return _unseen([after.track for _, after in pairs], value, value_var, nearest_ns)


class Hindsight:
    """The sightings of one camera's tracks over the last `span_ns`: pure arithmetic, used by one thread.

    The span is how long the tracker remembers whom it does not see, and how long frames are held.
    """

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._sightings: dict[int, list[Sighting]] = {}

    def record(self, tracks: Sequence[Track], pts_ns: int, pose: Pose = STILL) -> None:
        """Take in the tracks of the newest frame that has detections; those that no detection supports are skipped."""
        for track in tracks:
            if track.unseen_ns == 0:
                seen = self._sightings.setdefault(track.track_id, [])
                if not seen or pts_ns > seen[-1].pts_ns:
                    seen.append(Sighting(pts_ns, track, pose))
        for track_id, seen in list(self._sightings.items()):
            kept = _recent(seen, pts_ns - self._span_ns)
            if kept:
                self._sightings[track_id] = kept
            else:
                del self._sightings[track_id]

    def at(self, pts_ns: int, reach_ns: int, pose: Pose = STILL) -> tuple[Track, ...]:
        """Everybody whose place at `pts_ns` a later sighting tells, up to `reach_ns` before the first one.

        `pose`: where the camera points then.

        Not among them: tracks that were seen before `pts_ns` and never since; the tracker predicts those.
        """
        exact: list[Track] = []
        unborn: list[Sequence[Sighting]] = []
        missed: list[tuple[Sighting, Sighting]] = []
        for seen in self._sightings.values():
            if not seen[0].pts_ns - reach_ns <= pts_ns <= seen[-1].pts_ns:
                continue
            index = bisect_left(seen, pts_ns, key=lambda sighting: sighting.pts_ns)
            if seen[index].pts_ns == pts_ns:
                exact.append(seen[index].track)
            elif index:
                missed.append((seen[index - 1].seen_from(pose), seen[index].seen_from(pose)))
            else:
                unborn.append([sighting.seen_from(pose) for sighting in seen[:_USED]])
        return (*exact, *between(missed, pts_ns), *backwards(unborn, pts_ns))

    def sightings(self, track_id: int) -> Sequence[Sighting]:
        """Those of one track that are remembered, oldest first."""
        return self._sightings.get(track_id, ())

    def reset(self) -> None:
        """Forget everybody."""
        self._sightings.clear()


def _recent(seen: list[Sighting], since_ns: int) -> list[Sighting]:
    """The sightings from `since_ns` on and the newest one before, so that nobody seems to be born there."""
    if seen[-1].pts_ns < since_ns:
        return []
    if len(seen) <= MAX_SIGHTINGS and (len(seen) == 1 or seen[1].pts_ns > since_ns):
        return seen
    oldest = bisect_left(seen, since_ns, key=lambda sighting: sighting.pts_ns)
    return seen[max(oldest - 1, len(seen) - MAX_SIGHTINGS, 0) :]


def _unseen(tracks: Sequence[Track], value: F64, value_var: F64, unseen_ns: Sequence[int]) -> list[Track]:
    """The tracks at other places: centres and sides (N, 4) and their variances."""
    half = value[:, 2:] / 2
    boxes = np.concatenate([value[:, :2] - half, value[:, :2] + half], axis=1).tolist()
    spreads = motion.limited_spread(value_var, value).tolist()
    return [
        Track(  # `replace` takes three times as long, of each of hundreds in a crowd
            track_id=track.track_id,
            target=track.target,
            box=(x1, y1, x2, y2),
            score=track.score,
            state=track.state if track.state is TrackState.TENTATIVE else TrackState.COASTING,
            unseen_ns=unseen,
            spread_px=(spread_x, spread_y),
            is_followed=track.is_followed,
        )
        for track, (x1, y1, x2, y2), unseen, (spread_x, spread_y) in zip(tracks, boxes, unseen_ns, spreads, strict=True)
    ]
