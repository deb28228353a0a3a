"""Who may stay visible on one camera: keeps the ledger, and logs and counts what is decided by it; no thread."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from anonymizer.policy import Ledger, Permit, Standing
from anonymizer.ports import Meter
from anonymizer.types import Detections, RedactionPlan, Track

log = logging.getLogger(__name__)


class Recognition:
    """Used by one thread; without a permit nobody stays visible."""

    def __init__(self, camera_id: str, permit: Permit | None, meter: Meter) -> None:
        self._camera_id = camera_id
        self._ledger = None if permit is None else Ledger(permit)
        self._meter = meter
        self._visible: dict[int, str] = {}  # who stayed visible in the newest frame, by track

    def record(self, found: Detections, tracks: Sequence[Track], pts_ns: int) -> None:
        """Take in the votes of a frame; `tracks` are those that have taken in its detections."""
        if self._ledger is not None:
            self._ledger.record(found, tracks, pts_ns)

    def standings(self, tracks: Sequence[Track], pts_ns: int) -> tuple[Standing, ...]:
        """What the votes say of the faces of a frame."""
        return () if self._ledger is None else self._ledger.standings(tracks, pts_ns)

    def note(self, plan: RedactionPlan) -> None:
        """Log and count what was decided for the next frame that leaves."""
        doubts = {refused.track_id: refused.doubt for refused in plan.refused}
        for doubt in doubts.values():
            self._meter.recognition_refused(self._camera_id, doubt)
        visible = {spared.track_id: spared.who for spared in plan.spared}
        for spared in plan.spared:
            if self._visible.get(spared.track_id) != spared.who:
                text = "camera %s: track %d: %s stays visible, %d votes agree"
                log.info(text, self._camera_id, spared.track_id, spared.who, spared.votes)
                self._meter.kept_visible(self._camera_id, begins=True)
        for track_id, who in self._visible.items():
            if visible.get(track_id) != who:
                why = doubts.get(track_id) or plan.whole_frame or "gone"
                log.info("camera %s: track %d: %s stays visible no longer: %s", self._camera_id, track_id, who, why)
                self._meter.kept_visible(self._camera_id, begins=False)
        self._visible = visible

    def reset(self) -> None:
        """Forget all votes."""
        if self._ledger is not None:
            self._ledger.reset()
