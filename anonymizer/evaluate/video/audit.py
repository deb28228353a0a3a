"""Audits what a rehearsal published, as often and with the same model as the daemon's audit."""

from __future__ import annotations

from anonymizer.exposure import bare_faces
from anonymizer.ports import Detector
from anonymizer.types import AuditFinding, Frame, RedactedFrame


class Audit:
    """The audit of one clip; it sees pictures before they are encoded, while the daemon's sees them decoded again."""

    def __init__(self, detector: Detector, interval_ns: int) -> None:
        """`detector` is started."""
        self._detector = detector
        self._interval_ns = interval_ns
        self._looked_ns: int | None = None
        self.pictures = 0  # how many were audited
        self.findings = 0  # how many of them had a bare face

    def look(self, shown: RedactedFrame) -> AuditFinding | None:
        """The bare faces of this picture; None if there are none, if it is masked whole, or if no audit is due."""
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
