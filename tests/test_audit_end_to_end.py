"""A leak is seeded into the real daemon, and the audit must notice it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.daemon import RunningDaemon, eventually

pytestmark = pytest.mark.e2e

BLIND = {"face_threshold": 0.99, "person_threshold": 0.99}


def test_a_seeded_leak_raises_the_alarm_within_two_seconds(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, [{"id": "cam", "url": "demo://"}], detect=BLIND) as daemon:

        def bare_frames() -> float:
            published = daemon.metric("anonymizer_frames_total", stage="publish", outcome="ok")
            return published - daemon.metric("anonymizer_whole_frame_masks_total")

        eventually("frames without a whole-frame mask", lambda: bare_frames() > 0, 30, every_s=0.05)
        began_s = time.monotonic()
        eventually("the audit's alarm", lambda: daemon.metric("anonymizer_audit_findings_total", camera="cam"), 10)
        assert time.monotonic() - began_s < 2.0
        assert "camera cam: the audit found" in daemon.log
