"""Silhouettes in the pipeline: never for people who touch, never in detection's way, only where they are asked for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymizer.check import check
from anonymizer.clock import FakeClock, SystemClock
from anonymizer.detect.optional import RETRY_NS
from anonymizer.detect.tracing import TracingDetector
from anonymizer.detectors import check_models
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.settings.schema import (
    CameraSettings,
    MaskSettings,
    PrivacySettings,
    RedactSettings,
    Settings,
    TargetName,
    TrackSettings,
)
from anonymizer.silhouettes import MODEL as SHAPES_MODEL
from anonymizer.silhouettes import misplaced, silhouettes_of, tracing
from anonymizer.types import Colour, Detections, Effect, Frame, Planes, Target
from anonymizer.zoo import PICTURES, Zoo
from tests.fakes import RecordingMeter, make_detections, make_frame
from tests.pictures import read_bgr

Box = tuple[float, float, float, float]


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


class Finder:
    """A detector that finds the same people in every frame."""

    def __init__(self, found: Detections) -> None:
        self.found = found
        self.started = 0

    def start(self) -> None:
        self.started += 1

    def detect(self, frame: Frame) -> Detections:
        return self.found

    def close(self) -> None:
        self.started -= 1


class Drawer:
    """A silhouettist that draws a triangle, takes its time, and fails on demand."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.load_error: ModelError | None = None
        self.error: Exception | None = None
        self.unsure = False
        self.drawn: list[Box] = []
        self.took_s = 0.01

    def start(self) -> None:
        if self.load_error is not None:
            raise self.load_error

    def outline(self, planes: Planes, colour: Colour, box: Box) -> tuple[tuple[float, float], ...] | None:
        self.clock.advance(self.took_s)
        if self.error is not None:
            raise self.error
        self.drawn.append(box)
        return None if self.unsure else ((0, 0), (1, 0), (0, 1))

    def close(self) -> None:
        pass


LEFT: Box = (0.0, 0.0, 40.0, 100.0)
MIDDLE: Box = (100.0, 0.0, 140.0, 120.0)
RIGHT: Box = (200.0, 0.0, 240.0, 110.0)


def people(*boxes: Box) -> Detections:
    return make_detections(*boxes, target=Target.PERSON)


def make(
    found: Detections, meter: RecordingMeter, *, budget_ms: int = 1000
) -> tuple[TracingDetector, Drawer, FakeClock]:
    clock = FakeClock()
    drawer = Drawer(clock)
    detector = TracingDetector(
        Finder(found),
        drawer,  # type: ignore[arg-type]
        cameras=frozenset({"cam"}),
        budget_ms=budget_ms,
        clock=clock,
        meter=meter,
    )
    return detector, drawer, clock


def test_everybody_who_stands_alone_is_drawn_the_tallest_first(meter: RecordingMeter) -> None:
    detector, drawer, _ = make(people(LEFT, MIDDLE, RIGHT), meter)
    with detector:
        found = detector.detect(make_frame())
    assert drawer.drawn == [MIDDLE, RIGHT, LEFT]
    assert [silhouette.box for silhouette in found.silhouettes] == [MIDDLE, RIGHT, LEFT]
    assert meter.counts["silhouettes", "cam", "drawn"] == 3


@pytest.mark.parametrize(
    "found",
    [
        people(),
        people((0, 0, 30, 60)),  # small
        people(LEFT, (35, 50, 80, 150)),  # overlap
        people(LEFT, (41, 0, 80, 100)),  # nearly touch
        people(LEFT, LEFT),
        make_detections(LEFT, target=Target.FACE),
    ],
)
def test_who_is_small_touches_somebody_or_is_no_person_is_not_drawn(found: Detections, meter: RecordingMeter) -> None:
    detector, drawer, _ = make(found, meter)
    with detector:
        assert detector.detect(make_frame()).silhouettes == ()
    assert drawer.drawn == []
    assert meter.counts["silhouettes", "cam", "box"] == (found.class_ids == Target.PERSON).sum()


def test_a_mask_in_doubt_is_no_silhouette(meter: RecordingMeter) -> None:
    detector, drawer, _ = make(people(LEFT), meter)
    drawer.unsure = True
    with detector:
        assert detector.detect(make_frame()).silhouettes == ()
    assert drawer.drawn == [LEFT]


def test_what_does_not_fit_the_budget_is_left_out(meter: RecordingMeter) -> None:
    detector, _, _ = make(people(LEFT, MIDDLE, RIGHT), meter, budget_ms=25)
    with detector:
        assert len(detector.detect(make_frame()).silhouettes) == 2


def test_other_cameras_are_left_alone(meter: RecordingMeter) -> None:
    found = people(LEFT)
    detector, drawer, _ = make(found, meter)
    with detector:
        assert detector.detect(replace(make_frame(), camera_id="other")) is found
    assert drawer.drawn == []


@pytest.mark.parametrize("error", [InvalidOutputError("NaN"), ModelError("gone")])
def test_a_failing_model_is_said_once_and_leaves_detection_alone(
    meter: RecordingMeter, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    found = people(LEFT, RIGHT)
    detector, drawer, clock = make(found, meter)
    drawer.error = error
    with detector:
        for _ in range(3):
            result = detector.detect(make_frame())
            assert result.silhouettes == ()
            assert len(result) == 2
        assert len(caplog.records) == 1
        drawer.error = None
        clock.advance(RETRY_NS / 1e9)
        assert len(detector.detect(make_frame()).silhouettes) == 2
        drawer.error = error
        detector.detect(make_frame())
        assert len(caplog.records) == 2


def test_a_model_that_does_not_load_is_tried_again_later(meter: RecordingMeter) -> None:
    detector, drawer, clock = make(people(LEFT), meter)
    drawer.load_error = ModelError("missing")
    with detector:
        assert detector.detect(make_frame()).silhouettes == ()
        drawer.load_error = None
        assert detector.detect(make_frame()).silhouettes == ()
        clock.advance(RETRY_NS / 1e9)
        assert len(detector.detect(make_frame()).silhouettes) == 1


# The settings


SHAPES = RedactSettings(person=MaskSettings(effect=Effect.SILHOUETTE))


def site(redact: RedactSettings = SHAPES, *targets: TargetName) -> Settings:
    camera = CameraSettings(id="cam", url="demo://", privacy=PrivacySettings(targets=targets or (TargetName.PERSON,)))
    return Settings(cameras=(camera,), redact=redact)


def test_cameras_that_mask_persons_by_shape_are_drawn_and_no_others(meter: RecordingMeter) -> None:
    assert silhouettes_of(site()) == {"cam"}
    assert silhouettes_of(site(RedactSettings())) == frozenset()
    assert silhouettes_of(site(SHAPES, TargetName.FACE)) == frozenset()
    finder = Finder(people())
    assert tracing(finder, site(RedactSettings()), clock=FakeClock(), meter=meter) is finder


def test_a_silhouette_without_persons_is_pointed_out() -> None:
    assert not list(misplaced(site(RedactSettings())))
    assert "names no person" in next(misplaced(site(SHAPES, TargetName.FACE)))
    face = RedactSettings(face=MaskSettings(effect=Effect.SILHOUETTE), zone_effect=Effect.SILHOUETTE)
    assert ["of a face" in text or "of a zone" in text for text in misplaced(site(face))] == [True, True]


def test_shapes_in_only_some_of_the_pictures_are_pointed_out() -> None:
    assert not list(misplaced(site()))
    (text,) = misplaced(site().model_copy(update={"track": TrackSettings(looks_per_s=10)}))
    assert "10 a second (track.looks_per_s)" in text


def test_check_points_it_out_and_does_not_fail_for_it() -> None:
    found = [finding for finding in check(site(SHAPES, TargetName.FACE), connect=False) if "no person" in finding.text]
    assert [finding.ok for finding in found] == [True]


def test_an_altered_model_is_told_before_the_daemon_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_models(site())
    shutil.copytree(Zoo().models_dir, tmp_path / "models")
    (tmp_path / "models" / f"{SHAPES_MODEL}.tflite").write_bytes(b"altered")
    monkeypatch.setattr("anonymizer.zoo.default_models_dir", lambda: tmp_path / "models")
    check_models(site(RedactSettings()))
    with pytest.raises(ModelError, match="is not the file"):
        check_models(site())


def test_the_shipped_model_draws_a_person_in_front_of_the_detector(meter: RecordingMeter) -> None:
    """The portrait, small on a grey ground: its shape is found, and is most of the box but not all."""
    portrait = read_bgr(PICTURES / "grace_hopper.jpg")
    canvas = np.full((480, 640, 3), 90, np.uint8)
    small = cv2.resize(portrait, (128, 160), interpolation=cv2.INTER_AREA)
    canvas[240:400, 240:368] = small
    i420 = np.asarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2YUV_I420), np.uint8)
    chroma = i420[480:].reshape(2, 240, 320)
    frame = make_frame(planes=Planes(i420[:480], chroma[0], chroma[1]))
    with tracing(Finder(people((240, 240, 368, 400))), site(), clock=SystemClock(), meter=meter) as detector:  # type: ignore[attr-defined]
        found = detector.detect(frame)
    assert meter.counts["detector_model", "pose-silhouette-float32", "float32", "litert", "xnnpack"] == 1
    (silhouette,) = found.silhouettes
    area = cv2.contourArea(np.array(silhouette.outline, np.float32))
    assert 0.4 * 128 * 160 < area < 0.95 * 128 * 160
