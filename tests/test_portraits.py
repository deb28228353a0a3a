"""Shipped detectors on real pictures: they find the people of two portraits, and a crowd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import anonymizer.demo
from anonymizer.clock import SystemClock
from anonymizer.detect.detector import TfliteDetector
from anonymizer.detect.limits import Limits
from anonymizer.detectors import detector_model
from anonymizer.geometry import iou_matrix
from anonymizer.types import Colour, Frame, Planes, Target
from anonymizer.zoo import Zoo
from tests.fakes import RecordingMeter, make_frame
from tests.pictures import read_bgr


def committed(name: str, *, max_detections: int = 100, nms_iou: float = 0.4) -> TfliteDetector:
    spec = Zoo().detectors.verify(name)
    model = replace(detector_model(spec), self_test=None)
    limits = Limits(threshold=spec.threshold, nms_iou=nms_iou, max_detections=max_detections)
    return TfliteDetector(model, limits, threads=1, clock=SystemClock(), meter=RecordingMeter())


def frame_from(bgr: np.ndarray) -> Frame:
    height, width = (side // 2 * 2 for side in bgr.shape[:2])
    i420 = np.asarray(cv2.cvtColor(np.ascontiguousarray(bgr[:height, :width]), cv2.COLOR_BGR2YUV_I420), np.uint8)
    u, v = i420[height:].reshape(2, height // 2, width // 2)
    return replace(make_frame(planes=Planes(i420[:height], u, v)), colour=Colour(full_range=False, bt709=False))


def portrait(name: str) -> np.ndarray:
    return read_bgr(Path(anonymizer.demo.__file__).parent / "portraits" / f"{name}.jpg")


# faces marked by hand, as fractions of the picture: chin to hair line, ear to ear
FACES = {"astronaut": (0.36, 0.13, 0.525, 0.345), "grace_hopper": (0.345, 0.20, 0.69, 0.565)}


@pytest.mark.parametrize("name", ["centerface-960-int8", "anonymizer-face-small-int8", "anonymizer-face-far-float32"])
@pytest.mark.parametrize("who", FACES)
def test_a_face_in_the_dark_is_found(name: str, who: str) -> None:
    picture = portrait(who) // 32
    height, width = picture.shape[:2]
    with committed(name) as detector:
        found = detector.detect(frame_from(picture))
    face = np.array([FACES[who]], np.float32) * [width, height, width, height]
    assert iou_matrix(found.boxes[:1], face.astype(np.float32)).max(initial=0.0) > 0.5


@pytest.mark.parametrize(
    "name", [name for name in Zoo().detectors.names() if Zoo().detectors.spec(name).target is Target.FACE]
)
@pytest.mark.parametrize("who", FACES)
def test_every_face_model_finds_the_face_of_a_portrait_best_of_all(name: str, who: str) -> None:
    picture = portrait(who)
    height, width = picture.shape[:2]
    with committed(name) as detector:
        found = detector.detect(frame_from(picture))
    truth = np.array([FACES[who]], np.float32) * np.array([width, height, width, height], np.float32)
    best = found.scores.argmax()
    assert found.scores[best] > 0.5
    assert iou_matrix(found.boxes, truth)[best].item() > 0.6


@pytest.mark.parametrize(
    "name", [name for name in Zoo().detectors.names() if Zoo().detectors.spec(name).target is Target.PERSON]
)
@pytest.mark.parametrize("who", FACES)
def test_every_person_model_finds_the_person_of_a_portrait(name: str, who: str) -> None:
    picture = portrait(who)
    height, width = picture.shape[:2]
    with committed(name) as detector:
        found = detector.detect(frame_from(picture))
    face = np.array(FACES[who]) * [width, height, width, height]
    around = (found.boxes[:, :2] <= face[:2]).all(axis=1) & (found.boxes[:, 2:] >= face[2:]).all(axis=1)
    assert around.any()


@pytest.mark.parametrize("name", ["centerface-int8", "centerface-float32"])
def test_a_crowd_of_hundreds_is_found_in_one_frame(name: str) -> None:
    x1, y1, x2, y2 = FACES["astronaut"]
    picture = portrait("astronaut")
    height, width = picture.shape[:2]
    head = picture[
        int((y1 - 0.06) * height) : int((y2 + 0.06) * height), int((x1 - 0.06) * width) : int((x2 + 0.06) * width)
    ]
    tile = cv2.resize(head, (32, 36), interpolation=cv2.INTER_AREA)
    crowd = np.tile(tile, (10, 20, 1))
    with committed(name, max_detections=1000) as detector:
        found = detector.detect(frame_from(crowd))
    assert len(found) >= 180
