"""Attention: heat from a frame, every way to refuse, and a detector that never depends on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymizer.clock import FakeClock, SystemClock
from anonymizer.detect.attention import Attention, AttentionModel, AttentionTest, read_heat
from anonymizer.detect.attentive import AttentiveDetector
from anonymizer.detect.detector import CompositeDetector
from anonymizer.detect.letterbox import Fit
from anonymizer.detect.optional import RETRY_NS
from anonymizer.detect.reach import Eye
from anonymizer.detect.scout import Reach, Scout
from anonymizer.detectors import attention_model, check_models, make_detector, strict_of
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.settings.schema import CameraSettings, DetectSettings, Mode, PrivacySettings, Settings, TargetName
from anonymizer.types import HOT, Colour, Detections, Frame, Heat, Size
from anonymizer.zoo import PICTURES, Zoo
from tests.fake_runtime import FakeRuntime
from tests.fakes import RecordingMeter, make_detections, make_frame, make_planes

MODEL = AttentionModel("toy", Path("toy.tflite"), Size(64, 48), mean=0.0, scale=1.0, hot_logit=2.0)


def outputs(cells: float | np.ndarray = 0.0, score: float = 0.5) -> dict[str, np.ndarray]:
    grid = np.broadcast_to(np.asarray(cells, np.float32), (3, 4))
    return {"map": grid[None, :, :, None].copy(), "score": np.array([[score]], np.float32)}


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    return FakeRuntime(outputs=outputs()).install(monkeypatch)


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


def attention(meter: RecordingMeter, **changes: Any) -> Attention:
    return Attention(replace(MODEL, **changes), threads=1, meter=meter)


# The model


def test_a_cell_is_hot_from_the_models_own_value_on() -> None:
    heat = read_heat(outputs(np.array([[1.9, 2.0, 2.1, 900.0]] * 3), 0.7), hot_logit=2.0)
    assert (heat.cells >= HOT).tolist() == [[False, True, True, True]] * 3
    assert heat.cells.max() <= 1
    assert heat.presence == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"map": outputs()["map"]}, "without the output 'score'"),
        ({**outputs(), "map": np.zeros((1, 3, 4), np.float32)}, "shape"),
        ({**outputs(), "map": np.zeros((1, 3, 4, 2), np.float32)}, "shape"),
        ({**outputs(), "map": np.zeros((1, 0, 4, 1), np.float32)}, "shape"),
        ({**outputs(), "score": np.zeros((1, 2), np.float32)}, "shape"),
        (outputs(np.nan), "not finite"),
        (outputs(0.0, 1.5), "not a probability"),
        (outputs(0.0, np.nan), "not a probability"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(wrong: dict[str, np.ndarray], text: str) -> None:
    with pytest.raises(InvalidOutputError, match=text):
        read_heat(wrong, 0.0)


def test_the_whole_frame_is_stretched_to_the_model(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    with attention(meter) as model:
        model.look(make_planes(160, 40), Colour())
    assert (runtime.seen[-1][0] > 100).all()
    assert meter.counts["detector_model", "toy", "float32", "litert", "xnnpack"] == 1


def test_a_model_of_another_size_or_with_other_outputs_does_not_start(
    runtime: FakeRuntime, meter: RecordingMeter
) -> None:
    with pytest.raises(ModelError, match="the manifest says 32x32"):
        attention(meter, size=Size(32, 32)).start()
    runtime.outputs = {"boxes": np.zeros((1, 4), np.float32)}
    with pytest.raises(ModelError, match="toy is not usable"):
        attention(meter).start()


TEST = AttentionTest(PICTURES / "astronaut.jpg", (0.0, 0.0, 0.5, 0.4), 0.6)


@pytest.mark.parametrize(
    ("row", "column", "presence", "good"),
    [(0, 1, 0.6, True), (0, 1, 0.5, False), (2, 1, 0.9, False), (0, 3, 0.9, False)],
)
def test_a_model_starts_only_if_it_points_at_the_person_in_the_portrait(
    runtime: FakeRuntime, meter: RecordingMeter, row: int, column: int, presence: float, good: bool
) -> None:
    cells = np.zeros((3, 4), np.float32)
    cells[row, column] = 5
    runtime.outputs = outputs(cells, presence)
    model = attention(meter, self_test=TEST)
    if good:
        with model:
            pass
    else:
        with pytest.raises(ModelError, match=r"does not point at the person in astronaut\.jpg"):
            model.start()


# The detector


class Watched:
    """A detector behind attention, with fakes on both sides."""

    def __init__(self, meter: RecordingMeter, scout: Scout | None = None) -> None:
        self.clock = FakeClock()
        self.meter = meter
        self.detector = AttentiveDetector(
            Faces(), attention(meter), cameras=frozenset({"yard"}), scout=scout, clock=self.clock, meter=meter
        )

    def detect(self, camera_id: str = "yard") -> Detections:
        return self.detector.detect(make_frame(camera_id=camera_id, planes=make_planes(640, 360)))


class Faces(CompositeDetector):
    """Always finds one face."""

    def __init__(self) -> None:
        super().__init__(())

    def start(self) -> None:
        pass

    def detect(self, frame: Frame) -> Detections:
        return make_detections((1, 1, 9, 9), camera_id=frame.camera_id)


def test_detections_come_with_the_heat_of_their_frame(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    runtime.outputs = outputs(5.0, 0.8)
    watched = Watched(meter)
    with watched.detector:
        found = watched.detect()
        assert len(found) == 1
        assert found.heat is not None
        assert found.heat.presence == pytest.approx(0.8)
        assert not found.attention_failed


def test_other_cameras_are_left_alone(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    watched = Watched(meter)
    with watched.detector:
        looks = len(runtime.seen)
        found = watched.detect("door")
    assert len(runtime.seen) == looks
    assert found.heat is None
    assert not found.attention_failed


def test_a_bad_answer_is_counted_and_marked_and_the_next_good_one_taken(
    runtime: FakeRuntime, meter: RecordingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(meter)
    with watched.detector:
        runtime.outputs = outputs(np.nan)
        found = [watched.detect() for _ in range(3)]
        runtime.outputs = outputs()
        good = watched.detect()
        runtime.outputs = outputs(np.nan)
        watched.detect()
    assert all(each.heat is None and each.attention_failed and len(each) == 1 for each in found)
    assert good.heat is not None
    assert meter.counts["attention_failed", "yard"] == 4
    assert len(caplog.messages) == 2, "once for each time that it begins to fail"
    assert "attention does not work" in caplog.text


def test_a_failing_runtime_is_given_up_for_a_while_and_then_loaded_anew(
    runtime: FakeRuntime, meter: RecordingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(meter)
    with watched.detector:
        runtime.invoke_error = RuntimeError("lost")
        assert watched.detect().attention_failed
        runtime.invoke_error = None
        assert watched.detect().attention_failed
        watched.clock.advance(RETRY_NS / 1e9)
        assert not watched.detect().attention_failed
    assert meter.counts["attention_failed", "yard"] == 2
    assert len(caplog.messages) == 1


def test_a_model_that_does_not_load_stops_nothing(
    runtime: FakeRuntime, meter: RecordingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.load_error = ValueError("broken file")
    watched = Watched(meter)
    with watched.detector:
        for _ in range(3):
            assert watched.detect().attention_failed
            watched.clock.advance(RETRY_NS / 1e9)
    assert len(caplog.messages) == 1
    assert meter.counts["attention_failed", "yard"] == 3


def test_the_scout_hears_what_attention_sees(
    runtime: FakeRuntime, meter: RecordingMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, Heat | None]] = []
    scout = Scout(Eye(Size(192, 192), Fit.LETTERBOX, 16), {"yard": Reach(16, 400, 1000)}, budget_ms=40)
    monkeypatch.setattr(scout, "set_heat", lambda camera_id, heat: heard.append((camera_id, heat)))
    watched = Watched(meter, scout)
    with watched.detector:
        found = watched.detect()
        runtime.outputs = outputs(np.nan)
        watched.detect()
    assert heard == [("yard", found.heat), ("yard", None)]


# From the settings


def test_the_committed_model_points_at_somebody_and_sees_nobody_in_grey() -> None:
    committed = attention_model(Zoo().attentions.spec(DetectSettings().attention))
    with Attention(committed, threads=1, meter=RecordingMeter()) as model:
        heat = model.look(make_planes(640, 360), Colour())
    assert heat.cells.shape == (9, 16)
    assert heat.presence < 0.5
    assert (heat.cells >= HOT).mean() < 0.05


CAMERAS = (
    CameraSettings(id="yard", url="demo://", reach_px=16),
    CameraSettings(id="door", url="demo://", privacy=PrivacySettings(mode=Mode.STRICT)),
)


def test_cameras_in_mode_strict_are_found() -> None:
    assert strict_of(Settings(cameras=CAMERAS)) == {"door"}
    assert strict_of(Settings(cameras=CAMERAS, privacy=PrivacySettings(mode=Mode.STRICT))) == {"yard", "door"}


@pytest.mark.parametrize(
    ("settings", "strict", "yard", "door"),
    [
        (DetectSettings(), frozenset(), False, False),
        (DetectSettings(), frozenset({"door"}), False, True),
        (DetectSettings(budget_ms=50), frozenset(), True, False),
        (DetectSettings(budget_ms=50), frozenset({"door"}), True, True),
        (DetectSettings(budget_ms=50, attention="off"), frozenset({"door"}), False, False),
    ],
)
def test_attention_looks_where_the_mode_or_a_budget_needs_it(
    settings: DetectSettings, strict: frozenset[str], yard: bool, door: bool
) -> None:
    detector = make_detector(
        settings,
        frozenset({TargetName.FACE}),
        reaches={"yard": Reach(200, 10_000, 10_000)},
        strict=strict,
        clock=SystemClock(),
        meter=RecordingMeter(),
    )
    with detector:
        found = [detector.detect(make_frame(camera_id=name, planes=make_planes(320, 180))) for name in ("yard", "door")]
    assert [each.heat is not None for each in found] == [yard, door]


def test_the_daemon_does_not_start_with_an_attention_model_that_there_is_not() -> None:
    with pytest.raises(ModelError, match="did you mean visual-wake-words-int8"):
        check_models(Settings(detect=DetectSettings(attention="visual-wake")))
    check_models(Settings(detect=DetectSettings(attention="off")))
