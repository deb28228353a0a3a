"""Follows people and faces through frames in which the detector misses them."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anonymizer.errors import InvalidOutputError
from anonymizer.geometry import area, iou_pairs, shared_pairs
from anonymizer.pose import STILL, Pose
from anonymizer.settings.schema import TrackSettings
from anonymizer.track import kalman, motion
from anonymizer.track.association import FOLLOWED_IOU, associate
from anonymizer.track.kalman import F64, Belief
from anonymizer.track.population import I64, Population
from anonymizer.types import F32, I32, Detections, Target, Track, TrackState

MAX_TRACKS = 1000  # a detector gone wild must not take the CPU with it; what it detects is masked all the same
LEFT_BARE = 0.67  # of where somebody was expected: who is found with so much of it bare may be somebody else
TINY_STEP_NS = 10_000_000  # what passes between two updates when the PTS stands still or jumps back
_TARGETS = tuple(Target)


class Tracker:
    """The tracks of one camera: pure arithmetic without clock or thread; used by one thread.

    Every detection continues a track or starts one, weak ones too: a face whose score wavers around the detector's
    threshold needs a held mask most. Until it is confirmed such a track is held for half the time only. A face far from
    where its track was expected may be somebody else's: then the place expected goes on as another track, unseen.
    """

    def __init__(self, settings: TrackSettings, hold_ns: int) -> None:
        self._settings = settings
        self._hold_ns = hold_ns
        self._next_id = 1
        self._pts_ns: int | None = None
        self._pose = STILL
        self._live = _nobody()

    def update(self, detections: Detections, pts_ns: int, pose: Pose = STILL) -> tuple[Track, ...]:
        """Take in the detections of the frame at `pts_ns`; all tracks as of that frame.

        `pose`: where the camera pointed in it; tracks turn with it, so that only what people do counts as motion.
        Where time stands still or runs backward it counts as a tiny step: masks stay. Raises InvalidOutputError if the
        detections are not finite or of an unknown class; the tracks are then what they were.
        """
        if not len(self._live) and not len(detections):
            self._pts_ns, self._pose = pts_ns, pose
            return ()
        measured, targets = _measured(detections), detections.class_ids
        step_ns = 0 if self._pts_ns is None else pts_ns - self._pts_ns
        step_ns = max(step_ns, TINY_STEP_NS)
        held = self._held(step_ns, pose)
        live = replace(held, belief=_moved(held, step_ns))
        expected = motion.corners(live.belief)
        slack = np.minimum(motion.spread(live.belief), live.belief.value[:, 2:] / 2)
        matched, found = associate(
            expected,
            slack.astype(np.float32),
            live.targets,
            detections.boxes,
            targets,
            detections.scores >= self._settings.high_score,
            self._settings.match_iou,
        )
        paired, places = live.take(matched), expected[matched]
        is_near = iou_pairs(places, detections.boxes[found]) >= FOLLOWED_IOU
        followed = paired.ids[is_near & (paired.unseen_ns == step_ns)]
        elsewhere = matched[self._is_elsewhere(paired, places, detections.boxes[found])]
        continued = _continued(paired, measured[found], detections.scores[found])
        is_missed = _others(len(live), matched)
        missed = _missed(live.take(is_missed), held.take(is_missed).belief)
        fresh = _others(len(measured), found)
        born = self._born(measured[fresh], detections.scores[fresh], targets[fresh])
        left = _missed(live.take(elsewhere), held.take(elsewhere).belief).renamed(self._new_ids(len(elsewhere)))
        self._live = _limited(continued.joined(missed, left, born))
        self._pts_ns, self._pose = pts_ns, pose
        return self._tracks(self._live, frozenset(followed.tolist()))

    def predict(self, pts_ns: int, pose: Pose = STILL) -> tuple[Track, ...]:
        """All tracks as they should be at `pts_ns`, a little after or before the newest update; changes nothing.

        Boxes may grow but never shrink. Left out is who has been unseen for longer than the hold time, but not whom the
        newest update saw: until the next one nobody has looked, which is no sign that they left.
        """
        if self._pts_ns is None or not len(self._live):
            return ()
        step_ns = pts_ns - self._pts_ns
        aged = self._seen_from(pose).unseen_for(np.abs(self._live.unseen_ns + step_ns))
        is_recent = (self._live.unseen_ns == 0) & (step_ns > 0)
        recent = frozenset(self._live.ids[is_recent].tolist())
        aged = aged.take(self._is_held(aged) | is_recent)
        belief = _moved(aged, step_ns)
        belief.value[:, 2:] = np.maximum(belief.value[:, 2:], aged.belief.value[:, 2:])
        return self._tracks(replace(aged, belief=belief), recent=recent)

    def reset(self) -> None:
        """Forget everybody; ids are not used again."""
        self._pts_ns = None
        self._pose = STILL
        self._live = _nobody()

    def _seen_from(self, pose: Pose) -> Population:
        """Everybody where they were at the newest update, in the pixels of a camera that points there."""
        return replace(self._live, belief=kalman.turned(self._live.belief, pose.since(self._pose)))

    def _held(self, step_ns: int, pose: Pose) -> Population:
        """Who is still held `step_ns` later, where they were before."""
        aged = self._seen_from(pose).unseen_for(self._live.unseen_ns + step_ns)
        return aged.take(self._is_held(aged))

    def _is_held(self, live: Population) -> NDArray[np.bool_]:
        """Who (N,) has not been unseen for too long."""
        is_sure = (live.hits >= self._settings.confirm_hits) | (live.best >= self._settings.high_score)
        return np.asarray(live.unseen_ns <= np.where(is_sure, self._hold_ns, self._hold_ns // 2))

    def _born(self, measured: F64, scores: F32, targets: I32) -> Population:
        belief = kalman.begin(measured, motion.speeds(measured, targets))
        return Population.newborn(self._new_ids(len(measured)), targets, scores, belief)

    def _is_elsewhere(self, live: Population, expected: F32, found: F32) -> NDArray[np.bool_]:
        """Whose face (N,) was found far from where it was expected (N, 4), though it is known how it moves.

        Boxes of persons vary far more, with how much of somebody is seen: that hid much and bared nobody less.
        """
        is_known = (live.targets == Target.FACE) & (live.hits >= self._settings.confirm_hits)
        bare = area(expected) - shared_pairs(expected, found)
        return np.asarray(is_known & (bare >= LEFT_BARE * area(expected)))

    def _new_ids(self, count: int) -> I64:
        ids = np.arange(self._next_id, self._next_id + count, dtype=np.int64)
        self._next_id += count
        return ids

    def _tracks(
        self, live: Population, followed: Set[int] = frozenset(), recent: Set[int] = frozenset()
    ) -> tuple[Track, ...]:
        return tuple(
            Track(
                track_id=track_id,
                target=_TARGETS[target],
                box=(x1, y1, x2, y2),
                score=score,
                state=self._state(hits, unseen_ns),
                unseen_ns=unseen_ns,
                spread_px=(spread_x, spread_y),
                is_followed=track_id in followed,
                is_recent=track_id in recent,
            )
            for track_id, target, (x1, y1, x2, y2), score, hits, unseen_ns, (spread_x, spread_y) in zip(
                live.ids.tolist(),
                live.targets.tolist(),
                motion.corners(live.belief).tolist(),
                live.scores.tolist(),
                live.hits.tolist(),
                live.unseen_ns.tolist(),
                motion.spread(live.belief).tolist(),
                strict=True,
            )
        )

    def _state(self, hits: int, unseen_ns: int) -> TrackState:
        if hits < self._settings.confirm_hits:
            return TrackState.TENTATIVE
        return TrackState.COASTING if unseen_ns else TrackState.CONFIRMED


def _nobody() -> Population:
    return Population(
        np.empty((4, 0), np.int64), np.empty((2, 0), np.float32), kalman.begin(np.empty((0, 4)), np.empty((0, 4)))
    )


def _measured(detections: Detections) -> F64:
    """Boxes as centre x, centre y, width, height (N, 4), sides of one pixel at least."""
    boxes = detections.boxes.astype(np.float64)
    known = (detections.class_ids >= 0) & (detections.class_ids < len(Target))
    if not (np.isfinite(boxes).all() and np.isfinite(detections.scores).all() and known.all()):
        raise InvalidOutputError(
            f"detections of frame {detections.seq} of camera {detections.camera_id} are not finite or of an unknown "
            f"class (model {detections.model}); the frame must be masked whole"
        )
    measured = motion.centres(boxes)
    np.maximum(measured[:, 2:], kalman.MIN_SIDE_PX, out=measured[:, 2:])
    return measured


def _moved(live: Population, step_ns: int) -> Belief:
    moved = kalman.predict(live.belief, step_ns / 1e9, motion.agilities(live.belief.value, live.targets))
    np.maximum(moved.value[:, 2:], kalman.MIN_SIDE_PX, out=moved.value[:, 2:])
    return moved


def _continued(live: Population, measured: F64, scores: F32) -> Population:
    return live.seen(scores, kalman.correct(live.belief, measured))


def _missed(live: Population, before: Belief) -> Population:
    """Whoever is not seen does not become smaller than they were before."""
    moments = live.belief.moments.copy()
    np.maximum(moments[0, :, 2:], before.value[:, 2:], out=moments[0, :, 2:])
    np.maximum(moments[1, :, 2:], 0.0, out=moments[1, :, 2:])
    return replace(live, belief=Belief(moments))


def _limited(live: Population) -> Population:
    """The tracks seen most recently, no more than MAX_TRACKS."""
    return live if len(live) <= MAX_TRACKS else live.take(np.argsort(live.unseen_ns, kind="stable")[:MAX_TRACKS])


def _others(count: int, taken: NDArray[np.intp]) -> NDArray[np.bool_]:
    others = np.ones(count, np.bool_)
    others[taken] = False
    return others
