"""Looks again at what a rehearsal published, as often and with the model that the daemon's audit does."""

from __future__ import annotations

from anonymizer.exposure import bare_faces
from anonymizer.ports import Detector
from anonymizer.types import AuditFinding, Frame, RedactedFrame


class Audit:
    """The audit of one clip; it sees pictures as they go to the encoder, the daemon's as they come out of it."""

    def __init__(self, detector: Detector, interval_ns: int) -> None:
        """`detector` is started."""
        self._detector = detector
        self._interval_ns = interval_ns
        self._looked_ns: int | None = None
        self.pictures = 0  # looked at
        self.findings = 0  # of them with a face outside the masks

    def look(self, shown: RedactedFrame) -> AuditFinding | None:
        """What is bare in this picture; None if nothing is, if it is masked whole, or if it is not its turn."""
        is_early = self._looked_ns is not None and shown.pts_ns - self._looked_ns < self._interval_ns
        if shown.whole_frame is not None or is_early:
            return None
        self._looked_ns = shown.pts_ns
        self.pictures += 1
        frame = Frame(
            camera_id=shown.camera_id,
            seq=shown.seq,
            epoch=0,
            pts_ns=shown.pts_ns,
            captured_ns=shown.captured_ns,
            wall_ns=shown.wall_ns,
            planes=shown.planes,
            colour=shown.colour,
        )
        found = self._detector.detect(frame)
        boxes = bare_faces(found, shown.regions, shown.spared)
        if not boxes:
            return None
        self.findings += 1
        return AuditFinding(shown.camera_id, shown.captured_ns, shown.wall_ns, shown.size, boxes)
