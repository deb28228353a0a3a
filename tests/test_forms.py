"""Pictures of any form are seen as large as the model's pixels allow, and fall back to its own form where need be."""

from __future__ import annotations

import logging
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.clock import SystemClock
from anonymizer.detect.detector import TfliteDetector
from anonymizer.detect.engine import Engine
from anonymizer.detect.forms import ASPECTS, MORE, STEP_PX, form_for, forms_of
from anonymizer.detect.glance import glance_size
from anonymizer.detect.letterbox import Fit, Letterbox
from anonymizer.detect.limits import Limits
from anonymizer.detect.reach import Eye, plan_tiles
from anonymizer.detect.reform import reformed
from anonymizer.detectors import detector_model, make_detector
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.types import Frame, Size
from anonymizer.zoo import Zoo
from tests.fakes import RecordingMeter
from tests.test_portraits import FACES, frame_from, portrait

OWN = Size(960, 544)
WITH_FORMS = [name for name in Zoo().detectors.names() if Zoo().detectors.spec(name).has_forms]
SIDES = st.integers(min_value=16, max_value=8192)


def scale(picture: Size, form: Size) -> float:
    return min(Letterbox.of(picture, form, Fit.LETTERBOX).scale)


@pytest.mark.parametrize(
    ("picture", "form"),
    [
        (Size(1920, 1080), OWN),
        (Size(1920, 1200), OWN),
        (Size(1280, 960), Size(832, 640)),
        (Size(704, 576), OWN),
        (Size(2048, 2048), Size(704, 736)),
        (Size(1080, 1920), Size(544, 960)),
        (Size(3840, 1080), Size(1376, 384)),
    ],
    ids=["usual", "almost usual", "old", "small enough as it is", "fish-eye", "corridor", "two lenses"],
)
def test_a_picture_is_seen_in_the_form_that_suits_it(picture: Size, form: Size) -> None:
    assert form_for(picture, OWN) == form


@given(SIDES, SIDES)
def test_no_picture_is_seen_smaller_than_in_the_models_own_form_or_at_more_cost(width: int, height: int) -> None:
    picture = Size(width, height)
    form = form_for(picture, OWN)
    assert form == OWN or scale(picture, form) > scale(picture, OWN)
    assert form.width * form.height <= MORE * OWN.width * OWN.height


@pytest.mark.parametrize("own", [OWN, Size(640, 384), Size(352, 224)], ids=str)
def test_there_are_few_forms_and_all_of_them_fit_the_grids(own: Size) -> None:
    forms = forms_of(own)
    assert len(forms) == len(ASPECTS)
    assert own in forms
    assert all(side > 0 and side % STEP_PX == 0 for form in forms for side in (form.width, form.height))


@pytest.mark.parametrize("name", WITH_FORMS)
def test_every_shipped_model_passes_its_self_test_in_every_form(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spec = Zoo().detectors.verify(name)
    model = detector_model(spec)
    limits = Limits(threshold=0.3, nms_iou=0.4, max_detections=100, near_share=spec.near_share)
    others = others_of(model.size)
    with TfliteDetector(model, limits, threads=1, clock=SystemClock(), meter=RecordingMeter()) as detector:
        for form in others * 2:
            detector.detect(empty(form))
    assert sum("sees pictures" in record.getMessage() for record in caplog.records) == len(others)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def others_of(own: Size) -> list[Size]:
    """The forms that pictures of their own form are seen in."""
    return list({form_for(form, own) for form in forms_of(own)} - {own})


def empty(size: Size) -> Frame:
    return frame_from(np.zeros((size.height, size.width, 3), np.uint8))


def corridor(face_px: int) -> tuple[Frame, np.ndarray]:
    """An upright picture of Grace Hopper whose face has that height, and the face's box."""
    picture = portrait("grace_hopper")
    height, width = picture.shape[:2]
    left, top, right, bottom = FACES["grace_hopper"] * np.array([width, height, width, height])
    factor = face_px / (bottom - top)
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    scene = np.full((1920, 1080, 3), 90, np.uint8)
    y, x = 1700 - small.shape[0], 900 - small.shape[1]
    scene[y : y + small.shape[0], x : x + small.shape[1]] = small
    return frame_from(scene), np.array([left, top, right, bottom]) * factor + (x, y, x, y)


def test_in_an_upright_picture_a_face_is_found_that_a_flat_input_would_shrink_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame, face = corridor(36)
    settings, targets = DetectSettings(), frozenset({TargetName.FACE})
    with make_detector(settings, targets, clock=SystemClock(), meter=RecordingMeter()) as detector:
        found = detector.detect(frame)
    middle = (face[:2] + face[2:]) / 2
    assert (found.boxes[0, :2] < middle).all()
    assert (middle < found.boxes[0, 2:]).all()
    monkeypatch.setattr("anonymizer.detect.detector.form_for", lambda picture, own: own)
    with make_detector(settings, targets, clock=SystemClock(), meter=RecordingMeter()) as detector:
        assert len(detector.detect(frame)) == 0


def test_where_a_form_cannot_be_had_the_own_one_sees_the_picture_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own_alone(file: bytes, size: Size) -> bytes:
        if size not in (OWN, glance_size(OWN)):
            raise ModelError("has a map of its own")
        return reformed(file, size)

    monkeypatch.setattr("anonymizer.detect.engine.reformed", own_alone)
    frame, _ = corridor(100)
    settings, targets = DetectSettings(), frozenset({TargetName.FACE})
    with make_detector(settings, targets, clock=SystemClock(), meter=RecordingMeter()) as detector:
        found = detector.detect(frame)
        assert len(detector.detect(frame)) == len(found) > 0
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "sees pictures of 1080x1920 at 960x544, not larger at 544x960" in warning
    assert "has a map of its own" in warning


def test_a_form_that_a_delegate_refuses_is_told_as_the_own_one_would_be(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = property(lambda engine: "no room on the device" if engine.input_size == Size(544, 960) else None)
    monkeypatch.setattr(Engine, "delegate_fault", fault)
    meter = RecordingMeter()
    with make_detector(DetectSettings(), frozenset({TargetName.FACE}), clock=SystemClock(), meter=meter) as detector:
        detector.detect(empty(OWN))
        assert "runs on the CPU" not in caplog.text
        detector.detect(empty(Size(1080, 1920)))
    assert "runs on the CPU: no room on the device" in caplog.text
    assert meter.counts["delegate_fallback", DetectSettings().face_model, "xnnpack"] == 1


def test_an_output_that_is_no_number_in_another_form_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, _ = corridor(100)
    settings, targets = DetectSettings(), frozenset({TargetName.FACE})
    with make_detector(settings, targets, clock=SystemClock(), meter=RecordingMeter()) as detector:
        assert len(detector.detect(frame)) > 0
        right = Engine.run
        monkeypatch.setattr(
            Engine, "run", lambda engine, rgb: {name: each * np.nan for name, each in right(engine, rgb).items()}
        )
        with pytest.raises(InvalidOutputError):
            detector.detect(frame)


def test_what_is_found_in_a_whole_frame_follows_its_form() -> None:
    upright = Size(1080, 1920)
    flat_eye = Eye(OWN, Fit.LETTERBOX, 16)
    assert plan_tiles(upright, flat_eye, 100).reach_px == 57
    assert plan_tiles(upright, replace(flat_eye, has_forms=True), 100).reach_px == 32
