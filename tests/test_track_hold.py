"""How long somebody who is not found again stays masked: as long as configured, or half of it while in doubt."""

from __future__ import annotations

import pytest

from anonymizer.settings.schema import TrackSettings
from anonymizer.track.tracker import Tracker
from tests.fakes import make_detections

BOX = (100.0, 100.0, 140.0, 150.0)
FRAME_NS = 40_000_000
HOLD_NS = 1_000_000_000
SETTINGS = TrackSettings(confirm_hits=4)
SURE, FAINT = SETTINGS.high_score, SETTINGS.high_score / 2


@pytest.mark.parametrize(
    ("scores", "held_ns"),
    [
        ((SURE,), HOLD_NS),  # one sure look is enough
        ((SURE, FAINT), HOLD_NS),
        ((FAINT, SURE), HOLD_NS),
        ((FAINT,) * 4, HOLD_NS),  # and so are several faint ones
        ((FAINT,) * 3, HOLD_NS // 2),
    ],
)
def test_whoever_was_surely_or_repeatedly_seen_is_held_as_long_as_configured(
    scores: tuple[float, ...], held_ns: int
) -> None:
    tracker = Tracker(SETTINGS, HOLD_NS)
    for number, score in enumerate(scores):
        tracker.update(make_detections(BOX, score=score), number * FRAME_NS)
    tracker.update(make_detections(), len(scores) * FRAME_NS)
    last_ns = (len(scores) - 1) * FRAME_NS
    assert len(tracker.predict(last_ns + held_ns)) == 1
    assert tracker.predict(last_ns + held_ns + 1) == ()


def test_a_weak_track_that_was_never_confirmed_is_held_half_as_long() -> None:
    tracker = Tracker(TrackSettings(), HOLD_NS)
    tracker.update(make_detections(BOX, score=0.3), 0)
    tracker.update(make_detections(), FRAME_NS)
    assert len(tracker.predict(HOLD_NS // 2)) == 1
    assert tracker.predict(HOLD_NS // 2 + 1) == ()
