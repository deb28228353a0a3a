"""A whole camera line on a real RTSP camera: whatever breaks in mid-run, no frame leaves half masked."""

from __future__ import annotations

import gc
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anonymizer.backoff import Backoff
from anonymizer.capture import open_source
from anonymizer.clock import SystemClock
from anonymizer.detect.engine import Engine
from anonymizer.detectors import make_detector
from anonymizer.encode.h264 import H264Encoder
from anonymizer.errors import SourceError
from anonymizer.pipeline.capturing import CaptureStage
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.line import CameraLine, LineParts, LineSettings
from anonymizer.pipeline.status import StatusCell
from anonymizer.ports import Detector, Source
from anonymizer.publish.hub import Hub
from anonymizer.settings.schema import (
    CameraSettings,
    DetectSettings,
    EncodeSettings,
    PrivacySettings,
    RedactSettings,
    TargetName,
    TrackSettings,
)
from anonymizer.types import U8, Detections, Frame, Reason, RedactedFrame
from tests.daemon import eventually
from tests.fakes import RecordingMeter, make_detections
from tests.rtsp_camera import RtspCamera

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspCamera]:
    with RtspCamera() as camera:
        yield camera


class Published:
    """Remembers what left: (seq, whole-frame reason)."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, Reason | None]] = []

    def offer(self, frame: RedactedFrame) -> None:
        self.frames.append((frame.seq, frame.whole_frame))

    def reasons_from(self, seq: int) -> list[Reason | None]:
        return [reason for number, reason in self.frames if number >= seq]


class Breakable:
    """Finds nobody, quickly, until `trouble` is set to something that raises or blocks."""

    def __init__(self) -> None:
        self.trouble: Callable[[Frame], None] | None = None
        self.newest = -1

    def start(self) -> None:
        pass

    def detect(self, frame: Frame) -> Detections:
        self.newest = frame.seq
        if self.trouble is not None:
            self.trouble(frame)
        return make_detections(seq=frame.seq, camera_id=frame.camera_id, epoch=frame.epoch)

    def close(self) -> None:
        pass


@contextmanager
def line(camera: RtspCamera, make: Callable[[], Detector]) -> Iterator[tuple[Published, RecordingMeter]]:
    """A running camera line whose redacted frames are remembered."""
    clock, meter, published = SystemClock(), RecordingMeter(), Published()
    hub = Hub("cam", meter)
    settings = CameraSettings(id="cam", url=camera.url)
    parts = LineParts(
        open_source=lambda epoch, seq: open_source(settings, epoch=epoch, first_seq=seq, clock=clock, meter=meter),
        make_encoder=lambda: H264Encoder("cam", EncodeSettings()),
        packets=hub,
        views=(published,),
    )
    plan = LineSettings(PrivacySettings(), RedactSettings(), TrackSettings(), silence_limit_s=10, reconnects=True)
    with (
        InferenceStage(make, meter, clock) as inference,
        CameraLine("cam", plan, parts, inference=inference, meter=meter, clock=clock),
    ):
        eventually(
            "frames without a whole-frame mask", lambda: published.frames[-1:] and not published.frames[-1][1], 20
        )
        yield published, meter


def test_a_detector_that_dies_masks_every_frame_from_the_next_one_on_and_recovers(camera: RtspCamera) -> None:
    detector = Breakable()
    with line(camera, lambda: detector) as (published, meter):
        died_at: list[int] = []

        def die(frame: Frame) -> None:
            died_at.append(frame.seq)
            raise RuntimeError("the accelerator is gone")

        detector.trouble = die
        eventually("masks", lambda: meter.counts["whole_frame", "cam", Reason.INFERENCE_FAILED] > 10, 10)
        assert set(published.reasons_from(died_at[0])) == {Reason.INFERENCE_FAILED}
        detector.trouble = None
        eventually("recovery", lambda: published.frames[-1][1] is None, 20)


def test_a_model_that_returns_nan_masks_every_frame_from_the_next_one_on_and_recovers(
    camera: RtspCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, broken = Engine.run, threading.Event()

    def run_or_nan(engine: Engine, rgb: U8) -> object:
        outputs = run(engine, rgb)
        return {name: tensor * float("nan") for name, tensor in outputs.items()} if broken.is_set() else outputs

    monkeypatch.setattr(Engine, "run", run_or_nan)
    meter = RecordingMeter()

    def make() -> Detector:
        return make_detector(DetectSettings(), frozenset({TargetName.PERSON}), clock=SystemClock(), meter=meter)

    with line(camera, make) as (published, counted):
        broken.set()
        eventually("masks", lambda: counted.counts["whole_frame", "cam", Reason.INVALID_OUTPUT] > 10, 10)
        first = next(seq for seq, reason in published.frames if reason is Reason.INVALID_OUTPUT)
        assert set(published.reasons_from(first)) == {Reason.INVALID_OUTPUT}
        broken.clear()
        eventually("recovery", lambda: published.frames[-1][1] is None, 20)


def test_a_detector_that_hangs_masks_every_frame_once_its_last_answer_is_too_old(camera: RtspCamera) -> None:
    detector, release = Breakable(), threading.Event()

    def hang(_frame: Frame) -> None:
        release.wait(30)

    with line(camera, lambda: detector) as (published, meter):
        detector.trouble = hang
        eventually("masks", lambda: meter.counts["whole_frame", "cam", Reason.STALE] > 10, 10)
        assert {reason for _, reason in published.frames[-10:]} == {Reason.STALE}
        detector.trouble = None
        release.set()
        eventually("recovery", lambda: published.frames[-1][1] is None, 20)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class HangsUp:
    """A real source that fails after three frames, as a camera does that drops its clients."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = 3

    @property
    def codec(self) -> str:
        return self._source.codec

    def start(self) -> None:
        self._source.start()

    def read(self) -> Frame:
        if not self._left:
            raise SourceError("the camera hung up")
        self._left -= 1
        return self._source.read()

    def close(self) -> None:
        self._source.close()


def test_fifty_reconnections_leave_threads_descriptors_and_memory_flat(camera: RtspCamera) -> None:
    clock, meter = SystemClock(), RecordingMeter()
    settings = CameraSettings(id="cam", url=camera.url)
    stage = CaptureStage(
        "cam",
        lambda epoch, seq: HangsUp(open_source(settings, epoch=epoch, first_seq=seq, clock=clock, meter=meter)),
        on_frame=lambda _frame: None,
        on_link=lambda _change: None,
        on_crash=lambda: None,
        backoff=Backoff(0.001, 0.002, random.Random(1)),
        login_backoff=Backoff(0.001, 0.002, random.Random(1)),
        meter=meter,
        clock=clock,
        status=StatusCell("cam", clock),
        silence_limit_s=20,
        reconnects=True,
    )
    marks = []
    with stage:
        for target in (10, 60):
            eventually(f"{target} reconnections", lambda: meter.counts["reconnect", "cam"] >= target, 120)  # noqa: B023
            gc.collect()
            marks.append((threading.active_count(), descriptors(), resident_bytes()))
    (threads, files, resident), (threads_later, files_later, resident_later) = marks
    assert threads_later <= threads
    assert files_later <= files + 3  # the connection of the moment
    assert resident_later < resident + 8 * 1024 * 1024
