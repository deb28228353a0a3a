"""Chooses the frames of a camera that the models look at: evenly many a second, fewer while its view stands still."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from anonymizer.pipeline.lookahead import Asked, Questions
from anonymizer.policy.stillness import Stillness
from anonymizer.ports import Meter
from anonymizer.rate import RateLimit
from anonymizer.types import Frame, Track, TrackState

log = logging.getLogger(__name__)


class Looks:
    """Of one camera; used by one thread."""

    def __init__(
        self,
        camera_id: str,
        rate: RateLimit,
        stillness: Stillness | None,
        meter: Meter,
        *,
        high_score: float,
        rests_beside_people: bool = True,
    ) -> None:
        """`stillness` None: what stands still is looked at as often as anything; `high_score`: of a sure detection.

        Without `rests_beside_people` only a view in which nobody is known rests.
        """
        self._camera_id = camera_id
        self._rate = rate
        self._stillness = stillness
        self._meter = meter
        self._high_score = high_score
        self._rests_beside_people = rests_beside_people
        self._asked = Questions()
        self._known: frozenset[int] = frozenset()  # tracks, as of the newest look

    def asks(self, frame: Frame) -> bool:
        """Whether the models are to look at this frame."""
        would_be = is_due = self._rate.passes(frame.pts_ns)
        if self._stillness is not None and (is_due or self._stillness.is_calm):
            is_due = not self._rests(self._stillness, frame)
        if would_be and not is_due:
            self._meter.look_spared(self._camera_id)
        if not is_due and not self._asked.is_one_waiting():
            return False
        self._asked.add(frame)
        return True

    def answered(self, seq: int) -> Asked | None:
        """They have looked at that one; None: nobody asked them, or too long ago."""
        return self._asked.answered(seq)

    def failed(self, seq: int) -> None:
        """They could not look at that one."""
        self._asked.answered(seq)
        self.disturb()

    def found(self, tracks: Sequence[Track]) -> None:
        """A look found these, those among them that it did not find again included.

        Only looks that agree let a view rest: somebody whom one finds and the next one does not needs all of them. What
        is seen once and faintly is left out of this: in every view something looks a little like a face.
        """
        sure = [each for each in tracks if each.state is not TrackState.TENTATIVE or each.score >= self._high_score]
        known = frozenset(track.track_id for track in sure)
        is_in_use = bool(known) and not self._rests_beside_people
        if is_in_use or known != self._known or any(track.unseen_ns for track in sure):
            self.disturb()
        self._known = known

    def disturb(self) -> None:
        """Something is wrong, or not as it was: look as often as usual for a while."""
        if self._stillness is not None:
            self._stillness.disturb()

    def reset(self) -> None:
        """The camera shows something else now: answers to questions so far do not count any more."""
        self._asked.clear()
        if self._stillness is not None:
            self._stillness.reset()

    def _rests(self, stillness: Stillness, frame: Frame) -> bool:
        try:
            return stillness.rests(frame.planes.y, frame.pts_ns)
        except Exception:  # stage boundary: fails closed, a view that cannot be compared is looked at
            log.exception("camera %s: the view could not be compared; looking at it", self._camera_id)
            stillness.reset()
            return False
