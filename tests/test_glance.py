"""Who is too near for the large input is looked for in a small one as well, of whole pictures alone."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.clock import SystemClock
from anonymizer.detect.engine import Engine
from anonymizer.detect.forms import STEP_PX, forms_of
from anonymizer.detect.glance import LONG_SIDE_PX, glance_size, made_small
from anonymizer.detect.limits import Limits
from anonymizer.detect.scout import Reach
from anonymizer.detectors import make_detector
from anonymizer.errors import InvalidOutputError
from anonymizer.geometry import iou_matrix
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.types import F32, U8, Frame, Size, Target
from anonymizer.zoo import Zoo
from tests.fakes import RecordingMeter
from tests.test_portraits import FACES, frame_from, portrait

NEAR = [name for name in Zoo().detectors.names() if Zoo().detectors.spec(name).near_share is not None]


@pytest.mark.parametrize("own", [Size(960, 544), Size(640, 384), Size(480, 320)], ids=str)
def test_the_small_input_goes_with_every_form_of_the_large_one(own: Size) -> None:
    for form in forms_of(own):
        small = glance_size(form)
        assert max(small.width, small.height) == LONG_SIDE_PX
        assert small.width % STEP_PX == small.height % STEP_PX == 0
        assert small.width / form.width == pytest.approx(
            small.height / form.height, abs=STEP_PX / min(form.width, form.height)
        )


def test_an_input_that_is_small_already_is_not_enlarged() -> None:
    assert glance_size(Size(192, 96)) == Size(192, 96)


@given(st.integers(2, 96), st.integers(2, 96))
def test_what_is_found_in_the_small_picture_lies_where_it_is_in_the_large_one(width: int, height: int) -> None:
    large: U8 = np.full((96, 96, 3), 99, np.uint8)
    large[:height, :width] = 7
    large[: height // 2, : width // 2] = 200
    made, box = made_small(large, Size(width, height), Size(32, 32))
    inner = box.inner
    assert not made[inner.height :].any()
    assert not made[:, inner.width :].any()
    assert (made[: inner.height, : inner.width] > 0).all()
    assert (made[: inner.height, : inner.width] != 99).any()
    corner = np.array([[0, 0, inner.width, inner.height]], np.float32)
    assert box.to_source(corner).round().tolist() == [[0, 0, width, height]]


def close_up(face_share: float) -> tuple[Frame, F32]:
    """A picture of 1280x720 in which Grace Hopper's face has that share of the height, and the face's box, clipped."""
    picture = portrait("grace_hopper")
    height, width = picture.shape[:2]
    face = np.array(FACES["grace_hopper"]) * np.array([width, height] * 2)
    scale = 720 * face_share / (face[3] - face[1])
    shift = np.array([640, 360]) - scale * (face[:2] + face[2:]) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    scene = cv2.warpAffine(picture, matrix, (1280, 720), borderMode=cv2.BORDER_REPLICATE)
    box = scale * face + np.tile(shift, 2)
    return frame_from(np.asarray(scene, np.uint8)), np.clip(box, 0, [1280, 720] * 2).astype(np.float32)


def overlap(name: str, frame: Frame, box: F32) -> float:
    """How much of a face's box the best detection of that model shares with it."""
    settings = DetectSettings(face_model=name)
    with make_detector(settings, frozenset({TargetName.FACE}), clock=SystemClock(), meter=RecordingMeter()) as detector:
        return float(iou_matrix(detector.detect(frame).boxes[:1], box[None]).max(initial=0.0))


@pytest.mark.parametrize("name", [name for name in NEAR if Zoo().detectors.spec(name).target is Target.FACE])
def test_a_face_that_is_higher_than_the_picture_is_found_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, face = close_up(1.4)
    with_glance = overlap(name, frame, face)
    assert with_glance > 0.85
    monkeypatch.setattr(
        Limits, "near", lambda _limits, found, _picture: found.take(np.zeros(len(found.boxes), np.bool_))
    )
    assert overlap(name, frame, face) < with_glance - 0.05


def test_the_small_picture_is_looked_at_once_a_frame_however_many_tiles_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Size] = []
    right = Engine.run

    def run(engine: Engine, rgb: U8) -> Mapping[str, F32]:
        seen.append(engine.input_size)
        return right(engine, rgb)

    settings, clock = DetectSettings(face_model="centerface-int8"), SystemClock()
    frame, _ = close_up(0.2)
    reaches = {frame.camera_id: Reach(16, 400, 1000)}
    targets = frozenset({TargetName.FACE})
    with make_detector(settings, targets, reaches=reaches, clock=clock, meter=RecordingMeter()) as detector:
        monkeypatch.setattr(Engine, "run", run)
        detector.detect(frame)
    assert seen.count(Size(256, 160)) == 1
    assert seen.count(Size(640, 384)) == len(seen) - 1 > 2


def test_an_output_of_the_small_picture_that_is_no_number_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Engine.run

    def run(engine: Engine, rgb: U8) -> Mapping[str, F32]:
        factor = np.nan if engine.input_size == Size(256, 160) else 1.0
        return {name: each * np.float32(factor) for name, each in right(engine, rgb).items()}

    settings, targets = DetectSettings(), frozenset({TargetName.FACE})
    with make_detector(settings, targets, clock=SystemClock(), meter=RecordingMeter()) as detector:
        monkeypatch.setattr(Engine, "run", run)
        with pytest.raises(InvalidOutputError):
            detector.detect(close_up(1.0)[0])
