"""The engine: which runtime, what goes into a model, what comes out, and how it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anonymizer.detect.engine import Engine
from anonymizer.errors import ModelError
from anonymizer.types import Size
from anonymizer.zoo import Zoo
from tests.fake_runtime import TFLITE_RUNTIME, FakeRuntime

PATH = Path("some.tflite")
RAMP = np.arange(48 * 64 * 3, dtype=np.uint64).reshape(48, 64, 3).astype(np.uint8)  # every pixel value


def make_engine(*, mean: float = 0.0, scale: float = 1.0, threads: int = 1) -> Engine:
    return Engine(PATH, threads=threads, mean=mean, scale=scale)


def test_litert_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime().install(monkeypatch)
    with make_engine(threads=3) as engine:
        assert engine.runtime == "litert"
        assert engine.input_size == Size(64, 48)
        assert runtime.arguments == {"model_path": "some.tflite", "num_threads": 3}


def test_tflite_runtime_is_taken_where_litert_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeRuntime().install(monkeypatch, TFLITE_RUNTIME)
    with make_engine() as engine:
        assert engine.runtime == "tflite-runtime"


def test_without_any_runtime_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeRuntime().install(monkeypatch, "no_such.interpreter")
    with pytest.raises(ModelError, match="pip install ai-edge-litert"):
        make_engine().start()


@pytest.mark.parametrize("error", [ValueError("not a model"), RuntimeError("no memory"), OSError("gone")])
def test_a_runtime_that_cannot_load_is_a_model_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    FakeRuntime(load_error=error).install(monkeypatch)
    with pytest.raises(ModelError, match=f"litert cannot load some.tflite: {error}"):
        make_engine().start()


@pytest.mark.parametrize("content", [None, b"", b"not a model", b"\x00" * 1000])
def test_missing_and_broken_files_are_model_errors(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot load .*broken\.tflite"):
        Engine(path, threads=1, mean=0.0, scale=1.0).start()


@pytest.mark.parametrize(
    "runtime",
    [
        FakeRuntime(inputs=2),
        FakeRuntime(inputs=0),
        FakeRuntime(input_shape=(1, 3, 48, 64)),  # channels first
        FakeRuntime(input_shape=(2, 48, 64, 3)),  # two pictures at once
        FakeRuntime(input_shape=(1, 100)),  # not a picture
    ],
)
def test_a_model_that_does_not_take_one_picture_is_refused(
    monkeypatch: pytest.MonkeyPatch, runtime: FakeRuntime
) -> None:
    runtime.install(monkeypatch)
    with pytest.raises(ModelError, match="does not take one picture"):
        make_engine().start()


def test_a_model_whose_input_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeRuntime(details_error=ValueError("invalid tensor index -1")).install(monkeypatch)
    with pytest.raises(ModelError, match="names inputs or outputs that it does not have: invalid tensor index -1"):
        make_engine().start()


@pytest.mark.parametrize(("dtype", "quantisation"), [(np.float16, (0.0, 0)), (np.int16, (1.0, 0)), (np.int8, (0.0, 0))])
def test_a_model_with_another_kind_of_input_is_refused(
    monkeypatch: pytest.MonkeyPatch, dtype: type, quantisation: tuple[float, int]
) -> None:
    FakeRuntime(input_dtype=dtype, input_quantisation=quantisation).install(monkeypatch)
    with pytest.raises(ModelError, match="only float32 and quantised int8 or uint8"):
        make_engine().start()


@pytest.mark.parametrize(
    ("dtype", "quantisation", "mean", "scale", "expected"),
    [
        (np.float32, (0.0, 0), 0.0, 1.0, RAMP),  # as it is
        (np.float32, (0.0, 0), 127.5, 1 / 127.5, (RAMP - 127.5) / 127.5),  # to -1..1
        (np.int8, (1.0, -128), 0.0, 1.0, RAMP - 128.0),  # 0..255 moved to int8
        (np.int8, (1.0, 0), 128.0, 1.0, RAMP - 128.0),  # the mean does the same
        (np.uint8, (1.0, 0), 0.0, 1.0, RAMP),  # as it is
        (np.int8, (1.0, 0), 0.0, 1.0, np.minimum(RAMP, 127)),  # out of range: saturated, not wrapped
    ],
)
def test_pixels_are_normalised_and_quantised(
    monkeypatch: pytest.MonkeyPatch,
    dtype: type,
    quantisation: tuple[float, int],
    mean: float,
    scale: float,
    expected: np.ndarray,
) -> None:
    runtime = FakeRuntime(input_dtype=dtype, input_quantisation=quantisation).install(monkeypatch)
    with make_engine(mean=mean, scale=scale) as engine:
        engine.run(RAMP)
        assert engine.precision == np.dtype(dtype).name
    assert runtime.seen[0].dtype == dtype
    np.testing.assert_allclose(runtime.seen[0][0].astype(np.float64), expected, atol=1e-6)


def test_outputs_come_by_name_as_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeRuntime(
        outputs={"a": np.array([0.5], np.float32), "b": np.array([-128, 127], np.int8), "c": np.array([7], np.uint8)},
        quantisation={"b": (0.5, -128), "c": (2.0, 3)},
    ).install(monkeypatch)
    with make_engine() as engine:
        outputs = engine.run(RAMP)
    assert {name: values.tolist() for name, values in outputs.items()} == {"a": [0.5], "b": [0.0, 127.5], "c": [8.0]}
    assert all(values.dtype == np.float32 for values in outputs.values())


def test_a_picture_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeRuntime().install(monkeypatch)
    with make_engine() as engine, pytest.raises(ModelError, match=r"takes pictures of shape \(48, 64, 3\)"):
        engine.run(RAMP[:, :32])


@pytest.mark.parametrize("error", [RuntimeError("broken"), ValueError("broken")])
def test_a_failing_invocation_is_a_model_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    FakeRuntime(invoke_error=error).install(monkeypatch)
    with make_engine() as engine, pytest.raises(ModelError, match=r"litert failed in some.tflite: broken"):
        engine.run(RAMP)


def test_it_runs_only_between_start_and_close_and_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeRuntime(outputs={"a": np.zeros(1, np.float32)}).install(monkeypatch)
    engine = make_engine()
    for _ in range(2):
        with pytest.raises(ModelError, match="call start"):
            engine.run(RAMP)
        engine.start()
        engine.run(RAMP)
        engine.close()
        engine.close()


@pytest.mark.parametrize("name", Zoo().detectors.names())
def test_every_committed_model_runs_and_repeats_itself(name: str) -> None:
    spec = Zoo().detectors.verify(name)
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 256, (2, spec.input.height, spec.input.width, 3), dtype=np.uint8)
    size = spec.made_for
    with Engine(spec.path, threads=1, mean=spec.input.mean, scale=spec.input.scale, size=size) as engine:
        assert engine.precision == spec.input.dtype
        outputs, others, again = engine.run(first), engine.run(second), engine.run(first)
    for output, values in outputs.items():
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(values, again[output])
        assert (values != others[output]).any()
