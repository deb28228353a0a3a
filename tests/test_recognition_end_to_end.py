"""The daemon with somebody enrolled before a camera: who is not enrolled is masked in all that a client reads."""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from anonymizer.clock import SystemClock
from anonymizer.detectors import make_detector
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.stills import planes_of
from anonymizer.types import U8
from anonymizer.zoo import PICTURES
from tests.daemon import RunningDaemon, eventually
from tests.fakes import RecordingMeter, make_frame
from tests.pictures import likeness, read_bgr
from tests.rtsp_camera import RtspCamera

pytestmark = pytest.mark.e2e

FPS, SECONDS, SIDE_PX = 10, 3, 360
SAME, TRACES = 0.8, 0.3  # likeness of a face to itself after two encodings, and to what may be left of it
PATIENCE_S = 60.0
LEAST_LOOKS = 3.0  # a second: two votes must come within half a second
ENROLLED = PICTURES / "astronaut.jpg"
STRANGER = PICTURES / "grace_hopper.jpg"
SLOW = {"targets": ["face"], "max_detection_age_ms": 3000, "lookahead_ms": 1500, "max_wait_ms": 1500}


@pytest.fixture(scope="module")
def scene() -> U8:
    """The enrolled person on the left, a stranger on the right (H, W, 3) BGR."""
    pictures = [read_bgr(path) for path in (ENROLLED, STRANGER)]
    sides = [cv2.resize(each, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for each in pictures]
    return np.asarray(np.hstack(sides), np.uint8)


@pytest.fixture(scope="module")
def clip(scene: U8, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "two.mp4"
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = scene.shape[1], scene.shape[0], "yuv420p"
        for index in range(FPS * SECONDS):
            grain = np.clip(scene + rng.normal(0, 2, scene.shape), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(grain, "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def faces(scene: U8) -> list[U8]:
    """Rows and columns of the two faces, from left to right: x1, y1, x2, y2."""
    faces = frozenset({TargetName.FACE})
    detect = DetectSettings(face_threshold=0.5)
    with make_detector(detect, faces, clock=SystemClock(), meter=RecordingMeter()) as detector:
        found = detector.detect(make_frame(planes=planes_of(scene)))
    boxes = found.boxes[np.argsort(found.boxes[:, 0])].astype(int)
    assert len(boxes) == 2
    return list(boxes)


def is_seen(picture: U8, scene: U8, box: U8, least: float) -> bool:
    """Whether the fine structure of a face in the scene, luma (H, W), is also in a picture."""
    x1, y1, x2, y2 = box
    return likeness(scene[y1:y2, x1:x2], picture[y1:y2, x1:x2]) > least


def enroll(daemon: RunningDaemon) -> None:
    until = datetime.date.today() + datetime.timedelta(days=2)
    command = ["enroll", "ana", str(ENROLLED), "--consent", str(until), "--config", str(daemon.path)]
    subprocess.run([sys.executable, "-m", "anonymizer", *command], check=True, timeout=120)


def test_an_enrolled_person_becomes_visible_and_a_stranger_beside_never_is(
    clip: Path, scene: U8, faces: list[U8], tmp_path: Path
) -> None:
    luma = np.asarray(cv2.cvtColor(scene, cv2.COLOR_BGR2GRAY), np.uint8)
    identify = {"gallery": str(tmp_path / "people"), "key_file": str(tmp_path / "key")}
    with RtspCamera(clip) as camera:
        eyes = {"id": "cam", "url": camera.url, "identities": {"keep_visible": ["ana"]}}
        daemon = RunningDaemon(tmp_path, [eyes], identify=identify, privacy=SLOW)
        enroll(daemon)
        with daemon:
            eventually("regional masks", lambda: daemon.camera("cam")["state"] == "live", 60)
            began_s, looks = time.monotonic(), looked(daemon)
            seen = 0
            with av.open(daemon.url("cam"), options={"rtsp_transport": "tcp"}, timeout=(30, 30)) as stream:
                for frame in stream.decode(video=0):
                    picture = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
                    assert not is_seen(picture, luma, faces[1], TRACES)
                    seen += is_seen(picture, luma, faces[0], SAME)
                    if seen >= FPS or time.monotonic() - began_s > PATIENCE_S:
                        break
            rate = (looked(daemon) - looks) / (time.monotonic() - began_s)
    if seen < FPS and rate < LEAST_LOOKS:
        pytest.skip(f"{rate:.1f} looks a second are too few for anybody to stay visible; the stranger was masked")
    assert seen >= FPS


def looked(daemon: RunningDaemon) -> float:
    """Frames that the models have seen."""
    return daemon.metric("anonymizer_frames_total", stage="detect", outcome="ok")
