"""Detectors: from frames to boxes in source pixels, and every way to refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymizer.clock import FakeClock
from anonymizer.detect.detector import CompositeDetector, DetectorModel, TfliteDetector
from anonymizer.detect.letterbox import Fit
from anonymizer.detect.limits import Limits
from anonymizer.detect.reach import Eye
from anonymizer.detect.scout import Reach, Scout
from anonymizer.detect.tiles import Sighting, merged
from anonymizer.detectors import make_detector
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.types import Detections, Frame, Planes, Size, Target
from tests.fake_runtime import FakeInterpreter, FakeRuntime
from tests.fakes import RecordingMeter, make_detections, make_frame, make_planes
from tests.test_families_by_shape import TF1, postprocess

MODEL = DetectorModel(
    name="toy", path=Path("toy.tflite"), family="centerface", targets=(Target.FACE,), size=Size(64, 48),
    fit=Fit.LETTERBOX, mean=0.0, scale=1.0,
)  # fmt: skip
LIMITS = Limits(threshold=0.25, nms_iou=0.4, max_detections=100)


def heads(*cells: tuple[int, int, float, float, float]) -> dict[str, np.ndarray]:
    """Outputs of the toy model: faces at these cells (row, column) with width, height and score."""
    outputs = {
        name: np.zeros((1, 12, 16, depth), np.float32) for name, depth in (("heat", 1), ("scale", 2), ("offset", 2))
    }
    for row, column, width, height, score in cells:
        outputs["heat"][0, row, column] = score
        outputs["scale"][0, row, column] = np.log([height / 4, width / 4])
    return outputs


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    return FakeRuntime(outputs=heads()).install(monkeypatch)


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


@pytest.fixture
def detector(runtime: FakeRuntime, meter: RecordingMeter) -> TfliteDetector:
    return TfliteDetector(MODEL, LIMITS, threads=1, clock=FakeClock(), meter=meter)


def frame_of(width: int, height: int) -> Frame:
    return make_frame(seq=7, epoch=2, planes=make_planes(width, height))


def test_nobody_in_the_frame_gives_empty_arrays(detector: TfliteDetector) -> None:
    with detector:
        found = detector.detect(frame_of(128, 96))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert [each.dtype.name for each in (found.boxes, found.scores, found.class_ids)] == ["float32", "float32", "int32"]
    assert (found.camera_id, found.seq, found.epoch, found.model) == ("cam", 7, 2, "toy")


def test_boxes_come_in_source_pixels_best_first_without_duplicates(
    detector: TfliteDetector, runtime: FakeRuntime
) -> None:
    runtime.outputs = heads((2, 3, 8, 8, 0.5), (2, 4, 8, 8, 0.4), (6, 10, 8, 12, 0.9), (7, 10, 8, 12, 0.8))
    with detector:
        found = detector.detect(frame_of(128, 96))
    np.testing.assert_allclose(found.boxes, [[76, 40, 92, 64], [20, 12, 36, 28], [28, 12, 44, 28]], atol=1e-3)
    np.testing.assert_allclose(found.scores, [0.9, 0.5, 0.4])
    assert found.class_ids.tolist() == [Target.FACE] * 3


def test_boxes_are_clipped_to_the_frame_and_those_in_the_bars_are_gone(
    detector: TfliteDetector, runtime: FakeRuntime
) -> None:
    runtime.outputs = heads((0, 0, 20, 20, 0.9), (5, 15, 20, 30, 0.8), (11, 8, 4, 4, 0.7))
    with detector:
        found = detector.detect(frame_of(128, 48))  # covers 64x24 of the input; row 11 is in the bar
    np.testing.assert_allclose(found.boxes, [[0, 0, 24, 24], [104, 14, 128, 48]], atol=1e-3)


def test_a_face_of_one_pixel_is_kept(detector: TfliteDetector, runtime: FakeRuntime) -> None:
    runtime.outputs = heads((2, 3, 1, 1, 0.5))
    with detector:
        found = detector.detect(frame_of(64, 48))
    np.testing.assert_allclose(found.boxes, [[13.5, 9.5, 14.5, 10.5]], atol=1e-3)


def test_the_picture_reaches_the_model_letterboxed(detector: TfliteDetector, runtime: FakeRuntime) -> None:
    with detector:
        detector.detect(frame_of(128, 48))
    seen = runtime.seen[-1][0]
    assert (seen[:24] > 110).all()
    assert not seen[24:].any()


def test_what_lies_in_the_dark_reaches_the_model_brightened(detector: TfliteDetector, runtime: FakeRuntime) -> None:
    night = Planes(np.full((48, 64), 26, np.uint8), *[np.full((24, 32), 128, np.uint8)] * 2)
    with detector:
        detector.detect(make_frame(planes=night))
    assert runtime.seen[-1][0].min() > 80


@pytest.mark.parametrize(("targets", "is_tinted"), [((Target.FACE,), True), ((Target.PERSON,), False)])
def test_a_face_model_sees_a_grey_picture_tinted_like_skin(
    targets: tuple[Target, ...], is_tinted: bool, runtime: FakeRuntime, meter: RecordingMeter
) -> None:
    model = replace(MODEL, targets=targets)
    with TfliteDetector(model, LIMITS, threads=1, clock=FakeClock(), meter=meter) as detector:
        detector.detect(frame_of(64, 48))
    red, _, blue = runtime.seen[-1][0].mean(axis=(0, 1))
    assert (red > 1.2 * blue) == is_tinted


@pytest.mark.parametrize("name", ["heat", "scale", "offset"])
def test_nan_from_the_model_is_refused_and_the_next_good_answer_taken(
    detector: TfliteDetector, runtime: FakeRuntime, name: str
) -> None:
    with detector:
        runtime.outputs = heads()
        runtime.outputs[name][0, 3, 3] = np.nan
        with pytest.raises(InvalidOutputError, match=name):
            detector.detect(frame_of(64, 48))
        runtime.outputs = heads((2, 3, 8, 8, 0.5))
        assert len(detector.detect(frame_of(64, 48))) == 1


def test_more_faces_than_allowed_are_refused(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    limits = replace(LIMITS, max_detections=1)
    with TfliteDetector(MODEL, limits, threads=1, clock=FakeClock(), meter=meter) as detector:
        runtime.outputs = heads((2, 3, 4, 4, 0.5), (8, 3, 4, 4, 0.5))
        with pytest.raises(InvalidOutputError, match="2 objects"):
            detector.detect(frame_of(64, 48))


def test_half_the_score_is_enough_for_a_camera_in_mode_strict(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    runtime.outputs = heads((2, 3, 8, 8, 0.5), (6, 10, 8, 12, 0.13))
    for strict, count in ((frozenset({"cam"}), 2), (frozenset({"door"}), 1)):
        with TfliteDetector(MODEL, LIMITS, threads=1, clock=FakeClock(), meter=meter, strict=strict) as detector:
            assert len(detector.detect(frame_of(64, 48))) == count


def test_a_lower_score_is_enough_without_colour(detector: TfliteDetector, runtime: FakeRuntime) -> None:
    runtime.outputs = heads((6, 3, 24, 24, 0.22), (6, 12, 24, 24, 0.19))
    grey, coloured = make_planes(64, 48), make_planes(64, 48, seed=1)
    with detector:
        assert [len(detector.detect(make_frame(planes=planes))) for planes in (grey, coloured)] == [1, 0]


def test_a_lower_score_is_enough_for_who_is_small_in_the_picture_of_the_model(
    detector: TfliteDetector, runtime: FakeRuntime
) -> None:
    runtime.outputs = heads((6, 3, 24, 24, 0.18), (6, 12, 8, 8, 0.18))
    with detector:
        found = detector.detect(make_frame(planes=make_planes(256, 192, seed=1)))
    assert [box[3] - box[1] for box in found.boxes.tolist()] == [32.0]


def test_a_model_that_lists_few_is_not_asked_for_faint_ones_which_would_fill_its_list(
    runtime: FakeRuntime, meter: RecordingMeter
) -> None:
    runtime.outputs = postprocess(dict.fromkeys(range(10), (4, 4, 12, 12)), 0.2, names=TF1)
    model = replace(MODEL, family="tflite_detection_postprocess")
    with TfliteDetector(model, LIMITS, threads=1, clock=FakeClock(), meter=meter) as detector:
        assert len(detector.detect(make_frame(planes=make_planes(64, 48, seed=1)))) == 0


def test_a_failing_runtime_is_a_model_error(detector: TfliteDetector, runtime: FakeRuntime) -> None:
    with detector:
        runtime.invoke_error = RuntimeError("accelerator lost")
        with pytest.raises(ModelError, match="accelerator lost"):
            detector.detect(frame_of(64, 48))


def test_loading_is_metered_once_with_precision_and_runtime(detector: TfliteDetector, meter: RecordingMeter) -> None:
    with detector:
        detector.detect(frame_of(64, 48))
        detector.detect(frame_of(64, 48))
    assert meter.counts == {("detector_model", "toy", "float32", "litert", "xnnpack"): 1}


def test_the_hook_is_told_the_time_of_each_frame(
    runtime: FakeRuntime, meter: RecordingMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told = FakeClock(), []
    detector = TfliteDetector(
        MODEL, LIMITS, threads=1, clock=clock, meter=meter, on_model_ns=lambda *call: told.append(call)
    )

    def slowly(*args: Any, **more: Any) -> Sighting:
        clock.advance(0.02)
        return merged(*args, **more)

    with detector:
        monkeypatch.setattr("anonymizer.detect.detector.merged", slowly)
        detector.detect(frame_of(64, 48))
    assert told == [("toy", 20_000_000)]


def test_it_detects_only_between_start_and_close_and_starts_again(detector: TfliteDetector) -> None:
    for _ in range(2):
        with pytest.raises(ModelError, match="call start"):
            detector.detect(frame_of(64, 48))
        with detector:
            detector.detect(frame_of(64, 48))
        detector.close()


def test_a_model_of_another_size_than_the_manifest_says_does_not_start(
    detector: TfliteDetector, runtime: FakeRuntime
) -> None:
    runtime.input_shape = (1, 96, 64, 3)
    with pytest.raises(ModelError, match="takes 64x96 pictures, the manifest says 64x48"):
        detector.start()


def test_a_model_whose_output_makes_no_sense_does_not_start_and_can_be_retried(
    detector: TfliteDetector, runtime: FakeRuntime, meter: RecordingMeter
) -> None:
    runtime.outputs = {"heat": np.zeros((1, 2, 2, 1), np.float32)}
    with pytest.raises(ModelError, match=r"toy is not usable: .*shape"):
        detector.start()
    with pytest.raises(ModelError, match="call start"):
        detector.detect(frame_of(64, 48))
    assert not meter.counts
    runtime.outputs = heads()
    with detector:
        detector.detect(frame_of(64, 48))


def test_an_unknown_family_does_not_start(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    model = replace(MODEL, family="yolo")
    with pytest.raises(ModelError, match="unknown model family"):
        TfliteDetector(model, LIMITS, threads=1, clock=FakeClock(), meter=meter).start()


class BrightSpots(dict[str, np.ndarray]):
    """Outputs that follow the picture: a face where it is bright, if that is 14 pixels high or cut above or below."""

    def __init__(self, runtime: FakeRuntime) -> None:
        super().__init__(heads())
        self._runtime = runtime

    def values(self) -> list[np.ndarray]:  # type: ignore[override]
        rows, columns = np.nonzero(self._runtime.seen[-1][0, :, :, 1] > 170)
        outputs = heads()
        if len(rows) and (np.ptp(rows) >= 13 or {0, 47} & {*rows}):
            sides = np.array([np.ptp(rows) + 1, np.ptp(columns) + 1])
            centre = np.array([rows.min(), columns.min()]) + sides / 2
            cell = (centre // 4).astype(int).clip(0, [11, 15])
            outputs["heat"][0, *cell] = 0.9
            outputs["scale"][0, *cell] = np.log(sides / 4)
            outputs["offset"][0, *cell] = centre / 4 - cell - 0.5
        return list(outputs.values())


def far_sighted(clock: FakeClock, *, budget_ms: int | None = None) -> TfliteDetector:
    scout = Scout(Eye(MODEL.size, MODEL.fit, 16), {"cam": Reach(16, 400, 1000)}, budget_ms=budget_ms)
    return TfliteDetector(MODEL, LIMITS, threads=1, clock=clock, meter=RecordingMeter(), scout=scout)


@pytest.mark.parametrize("x", [0, 26, 40, 54, 70, 108])
@pytest.mark.parametrize("y", [4, 18, 30, 41, 70])
def test_a_small_face_is_found_once_wherever_tiles_meet(
    detector: TfliteDetector, runtime: FakeRuntime, x: int, y: int
) -> None:
    runtime.outputs = BrightSpots(runtime)
    luma = np.full((96, 128), 60, np.uint8)
    luma[y : y + 20, x : x + 20] = 230
    chroma = np.full((48, 64), 128, np.uint8)
    frame = make_frame(planes=Planes(luma, chroma, chroma))
    with detector:
        assert len(detector.detect(frame)) == 0  # ten pixels are too few for this model
    with far_sighted(FakeClock()) as far:
        found = far.detect(frame)
    np.testing.assert_allclose(found.boxes, [[x, y, x + 20, y + 20]], atol=1.5)
    assert found.class_ids.tolist() == [Target.FACE]


def test_the_whole_frame_is_looked_at_first_and_then_as_many_tiles_as_there_is_time_for(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, invoke = FakeClock(), FakeInterpreter.invoke

    def slowly(self: FakeInterpreter) -> None:
        clock.advance(0.01)
        invoke(self)

    monkeypatch.setattr(FakeInterpreter, "invoke", slowly)
    with far_sighted(clock, budget_ms=40) as far:
        for _ in range(3):
            runtime.seen.clear()
            far.detect(frame_of(128, 96))
            assert len(runtime.seen) == 4


def test_without_a_scout_there_is_one_look(detector: TfliteDetector, runtime: FakeRuntime) -> None:
    with detector:
        runtime.seen.clear()
        detector.detect(frame_of(128, 96))
    assert len(runtime.seen) == 1


class ScriptedDetector:
    """Answers with what it was given; counts what is running."""

    def __init__(self, answer: Detections | Exception, *, start_error: ModelError | None = None) -> None:
        self.answer = answer
        self.start_error = start_error
        self.running = False

    def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.running = True

    def detect(self, frame: Frame) -> Detections:
        if isinstance(self.answer, Exception):
            raise self.answer
        return replace(self.answer, seq=frame.seq)

    def close(self) -> None:
        self.running = False


def test_a_composite_joins_what_its_detectors_find() -> None:
    face = make_detections((1, 2, 3, 4), score=0.5, target=Target.FACE)
    person = make_detections((5, 6, 7, 8), (9, 9, 12, 12), score=0.8, target=Target.PERSON)
    parts = [ScriptedDetector(face), ScriptedDetector(person), ScriptedDetector(make_detections())]
    with CompositeDetector(parts) as detector:
        found = detector.detect(frame_of(64, 48))
        assert all(part.running for part in parts)
    assert not any(part.running for part in parts)
    assert found.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 12, 12]]
    assert found.class_ids.tolist() == [Target.FACE, Target.PERSON, Target.PERSON]
    assert found.scores.dtype == found.boxes.dtype == np.float32
    assert (found.camera_id, found.seq, found.epoch, found.model) == ("cam", 7, 2, "fake+fake+fake")


def test_a_composite_fails_when_one_of_its_detectors_fails() -> None:
    parts = [ScriptedDetector(make_detections()), ScriptedDetector(InvalidOutputError("NaN"))]
    with CompositeDetector(parts) as detector, pytest.raises(InvalidOutputError):
        detector.detect(frame_of(64, 48))


def test_a_composite_starts_all_or_none() -> None:
    parts = [
        ScriptedDetector(make_detections()),
        ScriptedDetector(make_detections(), start_error=ModelError("gone")),
        ScriptedDetector(make_detections()),
    ]
    with pytest.raises(ModelError, match="gone"):
        CompositeDetector(parts).start()
    assert not any(part.running for part in parts)


def test_a_composite_of_nothing_does_not_start_because_it_would_find_nobody() -> None:
    with pytest.raises(ModelError, match="no detector is configured"):
        CompositeDetector([]).start()


@pytest.mark.parametrize(
    ("wrong", "target"),
    [
        ({"face_model": "nanodet-g-int8"}, TargetName.FACE),
        ({"person_model": "centerface-int8"}, TargetName.PERSON),
        ({"person_model": "centerface-int8"}, TargetName.HEAD),
    ],
)
def test_a_model_in_the_wrong_place_makes_no_detector_because_it_would_leave_everybody_bare(
    wrong: dict[str, str], target: TargetName, meter: RecordingMeter
) -> None:
    with pytest.raises(ModelError, match="would stay bare"):
        make_detector(DetectSettings(**wrong), frozenset({target}), clock=FakeClock(), meter=meter)
