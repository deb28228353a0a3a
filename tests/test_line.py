"""A camera's line, with real threads: what crashes or hangs stops its output, and a restart makes all of it anew."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest

from anonymizer.clock import SystemClock
from anonymizer.errors import EncodeError
from anonymizer.pipeline import encoding
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.line import CameraLine, LineParts, LineSettings
from anonymizer.pipeline.stage import StageThread
from anonymizer.ports import Encoder
from anonymizer.settings.schema import PrivacySettings, RedactSettings, TrackSettings
from anonymizer.types import Detections, EncodedPacket, Frame, RedactedFrame, Stage
from tests.daemon import eventually
from tests.fakes import RecordingMeter, make_detections, make_frame


class Endless:
    """A camera that sends a frame every 10 ms."""

    codec = "h264"

    def __init__(self, epoch: int, first_seq: int) -> None:
        self._epoch = epoch
        self._seq = itertools.count(first_seq)
        self._closed = threading.Event()

    def start(self) -> None:
        pass

    def read(self) -> Frame:
        self._closed.wait(0.01)
        now_ns = SystemClock().now_ns()
        return make_frame(next(self._seq), epoch=self._epoch, captured_ns=now_ns, pts_ns=now_ns)

    def close(self) -> None:
        self._closed.set()


class Nobody:
    """A detector that finds nobody."""

    def start(self) -> None:
        pass

    def detect(self, frame: Frame) -> Detections:
        return make_detections(seq=frame.seq, camera_id=frame.camera_id, epoch=frame.epoch)

    def close(self) -> None:
        pass


class FailingEncoder:
    """Encodes nothing, and fails while `broken` is set."""

    def __init__(self, broken: threading.Event) -> None:
        self._broken = broken

    def encode(self, frame: RedactedFrame, *, key: bool) -> Sequence[EncodedPacket]:
        if self._broken.is_set():
            raise EncodeError("the encoder is gone")
        return ()

    def close(self) -> None:
        pass


class StuckEncoder:
    """Encodes until it is released, whoever wants it to stop, and fails then."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()
        self.thread: threading.Thread | None = None

    def encode(self, frame: RedactedFrame, *, key: bool) -> Sequence[EncodedPacket]:
        self.thread = threading.current_thread()
        self.entered.set()
        self.released.wait()
        raise EncodeError("the encoder is gone")

    def close(self) -> None:
        pass


class NoPackets:
    def put(self, packet: EncodedPacket) -> None:
        raise AssertionError

    def take_key_request(self) -> bool:
        return False


class Seen:
    def __init__(self) -> None:
        self.frames: list[RedactedFrame] = []

    def offer(self, frame: RedactedFrame) -> None:
        self.frames.append(frame)


@contextmanager
def real_line(
    broken: threading.Event, *first_encoders: Encoder
) -> Iterator[tuple[CameraLine, Seen, RecordingMeter, list[int]]]:
    clock, meter, seen, epochs = SystemClock(), RecordingMeter(), Seen(), []

    def open_source(epoch: int, first_seq: int) -> Endless:
        epochs.append(epoch)
        return Endless(epoch, first_seq)

    encoders = itertools.chain(first_encoders, iter(lambda: FailingEncoder(broken), None))
    settings = LineSettings(PrivacySettings(), RedactSettings(), TrackSettings(), silence_limit_s=5, reconnects=True)
    parts = LineParts(open_source, lambda: next(encoders), NoPackets(), (seen,))
    with (
        InferenceStage(Nobody, meter, clock) as inference,
        CameraLine("cam", settings, parts, inference=inference, meter=meter, clock=clock) as line,
    ):
        yield line, seen, meter, epochs


def test_a_crashed_stage_stops_the_output_of_its_camera_until_the_line_is_restarted_with_a_new_epoch() -> None:
    broken = threading.Event()
    with real_line(broken) as (line, seen, meter, epochs):
        eventually("frames", lambda: line.publishing() and len(seen.frames) > 5, 10)
        assert line.ailing() is None
        broken.set()
        eventually("the crash", line.ailing, 10)
        broken.clear()
        line.restart()
        published = len(seen.frames)
        eventually("frames again", lambda: len(seen.frames) > published + 5, 10)
        assert line.ailing() is None
        assert line.status().restarts == 1
        assert meter.counts["restart", "cam", Stage.ENCODE] == 1
        assert epochs[1] > epochs[0] + 1000


def test_a_thread_left_behind_that_crashes_late_does_not_stop_the_line_that_replaced_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(StageThread.__init__, "__kwdefaults__", {"join_s": 0.05})
    stuck = StuckEncoder()
    with real_line(threading.Event(), stuck) as (line, seen, _meter, _epochs):
        assert stuck.entered.wait(10)
        line.restart()
        stuck.released.set()
        assert stuck.thread is not None
        stuck.thread.join(10)
        assert not stuck.thread.is_alive()
        assert line.ailing() is None
        published = len(seen.frames)
        eventually("frames after the late crash", lambda: len(seen.frames) > published + 5, 10)


def test_a_stage_that_hangs_is_the_one_that_counts_as_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StageThread.__init__, "__kwdefaults__", {"join_s": 0.05})
    monkeypatch.setattr(encoding, "_LIMIT_S", 0.3)
    stuck = StuckEncoder()
    with real_line(threading.Event(), stuck) as (line, _seen, meter, _epochs):
        eventually("the encoder counts as stuck", lambda: stuck.entered.is_set() and line.ailing(), 10)
        line.restart()
        stuck.released.set()
        assert meter.counts["restart", "cam", Stage.ENCODE] == 1


def test_the_line_after_a_reload_shares_no_epoch_with_the_one_before() -> None:
    """A thread that outlived its line may ask for a frame late; its answer would pass for that of another picture."""
    first_epochs = []
    for _ in range(2):
        with real_line(threading.Event()) as (_line, _seen, _meter, epochs):
            eventually("a connection", partial(bool, epochs), 10)
        first_epochs.append(epochs[0])
    assert first_epochs[1] >= first_epochs[0] + 1000


def test_a_closed_line_may_be_closed_again_and_is_sick() -> None:
    with real_line(threading.Event()) as (line, _seen, _meter, _epochs):
        line.close()
        line.close()
        assert line.ailing() is not None
