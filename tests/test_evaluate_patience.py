"""An evaluation looks at every tile of every picture, however slow or busy the device is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from anonymizer import cli
from anonymizer.detect.letterbox import Fit
from anonymizer.detect.reach import MAX_TILES, Eye
from anonymizer.detect.scout import Reach, Scout
from anonymizer.evaluate.command import Candidate, WantedDetector
from anonymizer.settings.schema import DetectSettings
from anonymizer.types import Size, Target
from tests.fakes import make_frame, make_planes

SLOW_LOOK_NS = 30 * 10**9


def test_an_evaluation_has_time_for_every_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DetectSettings] = []
    monkeypatch.setattr("anonymizer.studio.make_detector", lambda detect, *_targets, **_parts: asked.append(detect))

    def order_one(_request: object, settings: object, make: Callable[[WantedDetector], object], _own: object) -> str:
        make(WantedDetector(Candidate("centerface-int8", 16), Target.FACE, 0.2, 500, is_flat=False))
        return ""

    monkeypatch.setattr("anonymizer.evaluate.command.evaluate", order_one)
    assert cli.main(["evaluate", "detect", "faces.json"]) == 0
    eye = Eye(Size(640, 384), Fit.LETTERBOX, 16)
    scout = Scout(eye, {"cam0": Reach(6, 400, 1000)}, budget_ms=asked[0].budget_ms)
    frame = make_frame(camera_id="cam0", planes=make_planes(1920, 1080))
    tiles = scout.tiles(frame, SLOW_LOOK_NS)
    assert 10 < len(tiles) <= MAX_TILES
    assert scout.tiles(frame, 1) == tiles
