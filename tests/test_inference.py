"""One inference thread answers every frame it takes, exactly once, and fails closed."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anonymizer.clock import SystemClock
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.pipeline.inference import InferenceStage, Verdict
from anonymizer.types import Detections, Frame, InferenceFailed, Reason
from tests.fakes import RecordingMeter, make_detections, make_frame


class FakeDetector:
    """Calls `answer` for every frame; counts its life."""

    def __init__(self, answer: Callable[[Frame], Detections]) -> None:
        self.answer = answer
        self.started = self.closed = 0

    def start(self) -> None:
        self.started += 1

    def detect(self, frame: Frame) -> Detections:
        return self.answer(frame)

    def close(self) -> None:
        self.closed += 1


def one_face(frame: Frame) -> Detections:
    return make_detections((1, 2, 30, 40), seq=frame.seq, camera_id=frame.camera_id, epoch=frame.epoch)


@contextmanager
def running(
    make: Callable[[], FakeDetector], *cameras: str
) -> Iterator[tuple[InferenceStage, queue.Queue[Verdict], RecordingMeter]]:
    answers: queue.Queue[Verdict] = queue.Queue()
    meter = RecordingMeter()
    stage = InferenceStage(make, meter, SystemClock())
    for camera in cameras:
        stage.attach(camera, answers.put)
    with stage:
        yield stage, answers, meter


def test_a_frame_is_answered_with_its_detections() -> None:
    with running(lambda: FakeDetector(one_face), "cam") as (stage, answers, meter):
        stage.submit(make_frame(7))
        answer = answers.get(timeout=5)
        assert isinstance(answer, Detections)
        assert answer.seq == 7
        assert stage.ready()
        assert stage.healthy()
    assert meter.counts["detections", "cam", "FACE"] == 1
    assert meter.counts["frame", "cam", "detect", "ok"] == 1


def test_a_waiting_frame_is_replaced_by_a_newer_one_and_the_drop_is_counted() -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(frame: Frame) -> Detections:
        entered.set()
        release.wait(5)
        return one_face(frame)

    with running(lambda: FakeDetector(slow), "cam") as (stage, answers, meter):
        stage.submit(make_frame(0))
        assert entered.wait(5)
        for seq in (1, 2, 3):
            stage.submit(make_frame(seq))
        release.set()
        assert [answers.get(timeout=5).seq for _ in range(2)] == [0, 3]
    assert meter.counts["dropped", "cam", "inference"] == 2


def test_cameras_are_served_in_turn_even_when_one_sends_faster() -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(frame: Frame) -> Detections:
        entered.set()
        release.wait(5)
        return one_face(frame)

    with running(lambda: FakeDetector(slow), "a", "b") as (stage, answers, _meter):
        stage.submit(make_frame(0, camera_id="a"))
        assert entered.wait(5)
        stage.submit(make_frame(0, camera_id="b"))
        for seq in range(1, 10):
            stage.submit(make_frame(seq, camera_id="a"))
        release.set()
        served = [answers.get(timeout=5) for _ in range(3)]
    assert [(answer.camera_id, answer.seq) for answer in served] == [("a", 0), ("b", 0), ("a", 9)]


def test_invalid_model_output_fails_that_frame_and_the_detector_goes_on() -> None:
    made: list[FakeDetector] = []

    def nan_once(frame: Frame) -> Detections:
        if frame.seq == 0:
            raise InvalidOutputError("scores hold NaN")
        return one_face(frame)

    def make() -> FakeDetector:
        made.append(FakeDetector(nan_once))
        return made[-1]

    with running(make, "cam") as (stage, answers, meter):
        stage.submit(make_frame(0))
        failure = answers.get(timeout=5)
        stage.submit(make_frame(1))
        assert isinstance(answers.get(timeout=5), Detections)
    assert isinstance(failure, InferenceFailed)
    assert failure.reason is Reason.INVALID_OUTPUT
    assert len(made) == 1
    assert meter.counts["frame", "cam", "detect", "failed"] == 1


def test_a_detector_that_raises_is_replaced_and_frames_fail_at_once_meanwhile() -> None:
    made: list[FakeDetector] = []

    def broken(_frame: Frame) -> Detections:
        raise RuntimeError("delegate lost")

    def make() -> FakeDetector:
        made.append(FakeDetector(broken if not made else one_face))
        return made[-1]

    with running(make, "cam") as (stage, answers, _meter):
        stage.submit(make_frame(0))
        first = answers.get(timeout=5)
        seq = 1
        while True:
            stage.submit(make_frame(seq))
            answer = answers.get(timeout=5)
            if isinstance(answer, Detections):
                break
            assert answer.reason is Reason.INFERENCE_FAILED
            seq += 1
    assert isinstance(first, InferenceFailed)
    assert "delegate lost" in first.detail
    assert [(detector.started, detector.closed) for detector in made] == [(1, 1), (1, 1)]


def test_models_that_do_not_load_are_tried_again() -> None:
    attempts: list[int] = []

    class Unloadable(FakeDetector):
        def start(self) -> None:
            attempts.append(1)
            if len(attempts) == 1:
                raise ModelError("file is missing")

    with running(lambda: Unloadable(one_face), "cam") as (stage, answers, _meter):
        stage.submit(make_frame(0))
        failure = answers.get(timeout=5)
        assert isinstance(failure, InferenceFailed)
        assert "file is missing" in failure.detail
        for seq in itertools.count(1):
            stage.submit(make_frame(seq))
            if isinstance(answers.get(timeout=5), Detections):
                break
        assert stage.ready()
    assert len(attempts) == 2


def test_an_answer_for_another_frame_is_a_failure() -> None:
    with running(lambda: FakeDetector(lambda _frame: make_detections(seq=99)), "cam") as (stage, answers, _meter):
        stage.submit(make_frame(1))
        failure = answers.get(timeout=5)
    assert isinstance(failure, InferenceFailed)
    assert failure.reason is Reason.INVALID_OUTPUT


def test_other_models_can_be_loaded_while_running() -> None:
    first, second = FakeDetector(one_face), FakeDetector(one_face)
    with running(lambda: first, "cam") as (stage, answers, _meter):
        stage.submit(make_frame(0))
        answers.get(timeout=5)
        stage.replace_detector(lambda: second)
        stage.submit(make_frame(1))
        answers.get(timeout=5)
        assert (first.started, first.closed, second.started) == (1, 1, 1)


def test_a_detached_camera_gets_no_answers() -> None:
    with running(lambda: FakeDetector(one_face), "cam", "other") as (stage, answers, _meter):
        stage.detach("cam")
        stage.submit(make_frame(0, camera_id="cam"))
        stage.submit(make_frame(0, camera_id="other"))
        assert answers.get(timeout=5).camera_id == "other"
        assert answers.empty()


def test_an_answer_never_reaches_a_camera_that_was_started_anew_under_the_same_id() -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(frame: Frame) -> Detections:
        entered.set()
        release.wait(5)
        return one_face(frame)

    with running(lambda: FakeDetector(slow), "cam") as (stage, old_answers, _meter):
        stage.submit(make_frame(0))
        assert entered.wait(5)
        stage.detach("cam")
        new_answers: queue.Queue[Verdict] = queue.Queue()
        stage.attach("cam", new_answers.put)
        release.set()
        assert old_answers.get(timeout=5).seq == 0
        stage.submit(make_frame(7))
        assert new_answers.get(timeout=5).seq == 7
        assert old_answers.empty()
