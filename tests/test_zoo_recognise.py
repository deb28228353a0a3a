"""An unknown file is read as its author meant it, or refused in plain words; a loaded model proves itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anonymizer.clock import FakeClock
from anonymizer.detect.detector import DetectorModel, TfliteDetector
from anonymizer.detect.engine import Engine
from anonymizer.detect.letterbox import Fit
from anonymizer.detect.limits import Limits
from anonymizer.detect.recognise import recognise
from anonymizer.detect.self_test import SelfTest
from anonymizer.errors import ModelError
from anonymizer.models import PORTRAITS
from anonymizer.types import Size, Target
from anonymizer.zoo import ChannelOrder, Zoo
from tests.fake_runtime import FakeRuntime
from tests.fakes import RecordingMeter
from tests.test_families_by_shape import yunet
from tests.test_families_ssd import heads as ssd_heads

FACE = replace(PORTRAITS[0], box=(0.25, 0.25, 0.75, 0.75))  # where the fakes see something
PERSON = replace(PORTRAITS[2], box=(0.25, 0.25, 0.75, 0.75))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    return FakeRuntime(input_shape=(1, 96, 96, 3), outputs=face()).install(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3")
    return path


def face(score: float = 0.9, at: tuple[float, float, float, float] = (24, 24, 72, 72)) -> dict[str, np.ndarray]:
    return yunet({180: at}, score)


# --- recognise --------------------------------------------------------------------------------------------------


# To this one a mean of 0 instead of 128 is no more than brighter light: it finds the portraits as well.
ANY_MEAN = ("nanodet-g-float32",)
SPECS = {name: Zoo().detectors.spec(name) for name in Zoo().detectors.names()}  # some share a file


@pytest.mark.parametrize("name", [each for each in SPECS if SPECS[each].path.stem == each])
def test_a_committed_model_is_read_as_the_manifest_says(name: str) -> None:
    spec = SPECS[name]
    found = recognise(spec.path, PORTRAITS)
    assert (found.family, found.target, found.column) == (spec.family, spec.target, 0)
    assert (found.size, found.precision) == (Size(spec.input.width, spec.input.height), spec.input.dtype)
    assert found.scale == pytest.approx(spec.input.scale)
    assert found.fit is spec.input.fit
    assert found.mean == spec.input.mean or name in ANY_MEAN
    assert found.bgr is (spec.input.order is ChannelOrder.BGR)
    assert found.score > spec.threshold


def test_a_family_whose_normalisation_is_folded_in_is_read_on_raw_pixels_however_clear_another_way_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    class Noted(Engine):
        def __init__(self, path: Path, *, mean: float, scale: float, **others: object) -> None:
            tried.append((mean, scale))
            super().__init__(path, mean=mean, scale=scale, **others)  # type: ignore[arg-type]

    monkeypatch.setattr("anonymizer.detect.recognise.Engine", Noted)
    found = recognise(Zoo().detectors.spec("anonymizer-face-small-int8").path, PORTRAITS)
    assert (found.family, found.mean, found.scale) == ("anchorfree", 0.0, 1.0)
    assert set(tried) == {(0.0, 1.0)}


def test_a_family_that_is_trained_on_bgr_gets_bgr(runtime: FakeRuntime, file: Path) -> None:
    found = recognise(file, [FACE, PERSON])
    assert (found.family, found.bgr, found.fit, found.target) == ("yunet", True, Fit.LETTERBOX, Target.PERSON)
    assert found.score == pytest.approx(0.9)
    assert recognise(file, [FACE, PERSON], target=Target.FACE).target is Target.FACE


def test_the_class_is_the_column_whose_best_box_is_the_person(runtime: FakeRuntime, file: Path) -> None:
    runtime.input_shape = (1, 300, 300, 3)
    runtime.outputs = ssd_heads({900: (75, 75, 225, 225)}, classes=3)
    runtime.outputs["scores"][0, 5, 1] = 0.95  # another class sees something elsewhere
    found = recognise(file, [PERSON], target=Target.PERSON)
    assert (found.family, found.column, found.fit) == ("ssd", 2, Fit.STRETCH)


@pytest.mark.parametrize(
    "outputs",
    [
        face(score=0.2),  # too unsure
        face(at=(0, 0, 30, 30)),  # elsewhere
    ],
)
def test_a_file_that_finds_nobody_is_refused(runtime: FakeRuntime, file: Path, outputs: dict[str, np.ndarray]) -> None:
    runtime.outputs = outputs
    with pytest.raises(ModelError, match="looks like yunet, but finds no face or person in the test pictures"):
        recognise(file, [FACE, PERSON])
    with pytest.raises(ModelError, match="finds no face in"):
        recognise(file, [FACE], target=Target.FACE)


def test_outputs_that_are_no_scores_are_named_in_the_refusal(runtime: FakeRuntime, file: Path) -> None:
    runtime.outputs = {name: values - 4 for name, values in face().items()}
    with pytest.raises(ModelError, match=r"\(the model's output 'cls_8' holds scores outside 0-1\)"):
        recognise(file, [FACE, PERSON])


def test_outputs_of_no_known_family_are_refused_with_their_shapes(runtime: FakeRuntime, file: Path) -> None:
    runtime.outputs = {"embedding": np.zeros((1, 128), np.float32)}
    with pytest.raises(ModelError, match=r"no known family has the outputs embedding \(1, 128\) for 96x96 pictures"):
        recognise(file, [FACE])


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be read \(No such file or directory\)"):
        recognise(tmp_path / "missing", PORTRAITS)
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07\x12\x07pytorch")
    with pytest.raises(ModelError, match="is not a TFLite file: convert the model first"):
        recognise(tmp_path / "model.onnx", PORTRAITS)


def test_a_model_that_takes_blue_first_gets_blue_first(runtime: FakeRuntime, file: Path) -> None:
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[..., 0] = 200
    for bgr, first in ((False, 200), (True, 0)):
        with Engine(file, threads=1, mean=0.0, scale=1.0, bgr=bgr) as engine:
            engine.run(picture)
        assert runtime.seen[-1][0, 0, 0, 0] == first


# --- self-test --------------------------------------------------------------------------------------------------


def detector(test: SelfTest) -> TfliteDetector:
    model = DetectorModel(
        name="toy", path=Path("toy.tflite"), family="yunet", targets=(Target.FACE,), size=Size(96, 96),
        fit=Fit.LETTERBOX, mean=0.0, scale=1.0, self_test=test,
    )  # fmt: skip
    limits = Limits(threshold=0.95, nms_iou=0.4, max_detections=100)
    return TfliteDetector(model, limits, threads=1, clock=FakeClock(), meter=RecordingMeter())


PROMISE = replace(FACE, min_iou=0.5, min_score=0.5)


def test_a_model_that_keeps_its_promise_starts_whatever_threshold_is_set(runtime: FakeRuntime) -> None:
    with detector(PROMISE):
        assert runtime.seen[-1].any()  # the portrait, not a black picture


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (face(score=0.4), "does not find the face in astronaut.jpg with a score of 0.5"),
        (face(score=0.001), "does not find the face in astronaut.jpg"),
        (face(at=(0, 0, 30, 30)), r"finds the face in astronaut.jpg elsewhere \(overlap 0.01, 0.5 promised\)"),
        (face() | {"obj_8": np.ones((1, 144, 1), np.float32), "cls_8": np.ones((1, 144, 1), np.float32)}, "elsewhere"),
        (face() | {"cls_8": np.full((1, 144, 1), np.nan, np.float32)}, "NaN"),
    ],
    ids=["unsure", "blind", "elsewhere", "sure of everything", "NaN"],
)
def test_a_model_that_computes_something_else_does_not_start(
    runtime: FakeRuntime, outputs: dict[str, np.ndarray], message: str
) -> None:
    runtime.outputs = outputs
    model = detector(PROMISE)
    with pytest.raises(ModelError, match=message):
        model.start()
    with pytest.raises(ModelError, match="is not loaded"):
        model.detect(None)  # type: ignore[arg-type]


def test_a_missing_test_picture_is_told(runtime: FakeRuntime, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read the test picture .*gone\.jpg: install the package again"):
        detector(replace(PROMISE, picture=tmp_path / "gone.jpg")).start()
