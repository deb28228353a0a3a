"""What a frame costs in each stage is measured on a camera as the settings have it, in the film's own time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from anonymizer.benchmark.film import portraits_film
from anonymizer.benchmark.stages import STAGES, measure_stages
from anonymizer.settings.schema import PrivacySettings, Settings, TrackSettings
from anonymizer.types import Detections, Frame, Size
from tests.fakes import make_detections

FRAMES, FOUND_FROM = 18, 5


@pytest.mark.parametrize(("lookahead_ms", "masked"), [(0, FRAMES - FOUND_FROM), (500, FRAMES)])
def test_a_camera_is_measured_with_its_look_ahead(lookahead_ms: int, masked: int, tmp_path: Path) -> None:
    """Looking back is work: whoever is found in the sixth picture is masked in those before it."""
    film = tmp_path / "film.mp4"
    portraits_film(film, Size(320, 192), Fraction(15), FRAMES)
    looked_at = []

    def detect(frame: Frame) -> Detections:
        looked_at.append(frame.seq)
        boxes = [(100.0, 60.0, 140.0, 110.0)] if frame.seq >= FOUND_FROM else []
        return make_detections(*boxes, seq=frame.seq, camera_id=frame.camera_id, epoch=frame.epoch)

    settings = Settings(privacy=PrivacySettings(lookahead_ms=lookahead_ms), track=TrackSettings(looks_per_s=120))
    costs = measure_stages(film, detect, settings)
    assert looked_at == list(range(FRAMES))
    assert round(costs.regions * FRAMES) == masked
    assert tuple(costs.cpu_ms) == STAGES
