"""Delegates: what an interpreter is given, and what happens when a plug-in does not start."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from anonymizer.clock import FakeClock
from anonymizer.detect.delegates import Delegate, DelegateError
from anonymizer.detect.detector import DetectorModel, TfliteDetector
from anonymizer.detect.engine import Engine
from anonymizer.detect.letterbox import Fit
from anonymizer.detect.limits import Limits
from anonymizer.errors import ModelError
from anonymizer.settings.schema import DelegateName, DetectSettings
from anonymizer.types import Size, Target
from anonymizer.zoo import Zoo
from tests.fake_runtime import LITERT, TFLITE_RUNTIME, FakeRuntime, OpResolverType
from tests.fakes import RecordingMeter

PLUGIN = DetectSettings(
    delegate=DelegateName.EXTERNAL, delegate_library="libnpu.so", delegate_options={"cache": "models"}
)
FALLING_BACK = PLUGIN.model_copy(update={"delegate_fallback": True})
EDGETPU = DetectSettings(delegate=DelegateName.EDGETPU)


def make_engine(settings: DetectSettings, path: Path = Path("some.tflite")) -> Engine:
    return Engine(path, threads=2, mean=0.0, scale=1.0, delegate=Delegate.of(settings))


@pytest.mark.parametrize("module", [LITERT, TFLITE_RUNTIME])
def test_both_runtimes_are_given_the_plug_in_with_its_options(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    runtime = FakeRuntime().install(monkeypatch, module)
    with make_engine(PLUGIN) as engine:
        assert engine.delegate is DelegateName.EXTERNAL
        assert engine.delegate_fault is None
    assert runtime.plugins == [("libnpu.so", {"cache": "models"})]
    assert runtime.arguments["experimental_delegates"] == ["delegate from libnpu.so"]
    assert runtime.arguments["num_threads"] == 2


def test_xnnpack_is_the_runtimes_own_default_and_none_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime().install(monkeypatch)
    with make_engine(DetectSettings()):
        assert runtime.arguments.keys() == {"model_path", "num_threads"}
    with make_engine(DetectSettings(delegate=DelegateName.NONE)) as engine:
        assert engine.delegate is DelegateName.NONE
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    assert runtime.arguments["experimental_op_resolver_type"] is plain


@pytest.mark.parametrize(
    ("settings", "library"),
    [
        (EDGETPU, "libedgetpu.so.1"),
        (DetectSettings(delegate=DelegateName.GPU), "libtensorflowlite_gpu_delegate.so"),
        (EDGETPU.model_copy(update={"delegate_library": "mine.so"}), "mine.so"),
        (PLUGIN, "libnpu.so"),
        (DetectSettings(), None),
    ],
)
def test_edgetpu_and_gpu_have_usual_libraries(settings: DetectSettings, library: str | None) -> None:
    assert Delegate.of(settings).library == library


@pytest.mark.parametrize(
    "runtime",
    [
        FakeRuntime(plugin_error=ValueError("no device")),  # the plug-in itself says no
        FakeRuntime(refusal=RuntimeError("no device")),  # the model does not fit it
        FakeRuntime(invoke_error=RuntimeError("no device")),  # the device fails at the first picture
    ],
)
def test_a_delegate_that_fails_at_start_says_which_why_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, runtime: FakeRuntime
) -> None:
    runtime.install(monkeypatch)
    with pytest.raises(DelegateError) as raised:
        make_engine(PLUGIN).start()
    assert str(raised.value) == (
        "delegate external (libnpu.so) does not start: no device; check detect.delegate_library and "
        "detect.delegate_options, or set detect.delegate to xnnpack, or detect.delegate_fallback to true"
    )


def test_the_cpu_steps_in_only_where_the_settings_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime(refusal=RuntimeError("no device")).install(monkeypatch)
    with make_engine(FALLING_BACK) as engine:
        assert engine.delegate is DelegateName.XNNPACK
        assert "no device" in (engine.delegate_fault or "")
        assert "experimental_delegates" not in runtime.arguments


def test_a_model_that_not_even_the_cpu_can_load_is_an_error_in_spite_of_the_fallback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FakeRuntime(load_error=ValueError("not a model")).install(monkeypatch)
    with pytest.raises(ModelError, match=r"litert cannot load some\.tflite: not a model"):
        make_engine(FALLING_BACK).start()


def test_an_edge_tpu_is_given_compiled_models_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The delegate would take no operation of another model and leave all to the CPU, silently."""
    FakeRuntime().install(monkeypatch)
    model = tmp_path / "model.tflite"
    model.write_bytes(b"TFL3 CONV_2D")
    with pytest.raises(DelegateError, match="not compiled for it by edgetpu_compiler"):
        make_engine(EDGETPU, model).start()
    model.write_bytes(b"TFL3 edgetpu-custom-op")
    with make_engine(EDGETPU, model) as engine:
        assert engine.delegate is DelegateName.EDGETPU


def test_a_fallback_is_counted_and_logged_and_the_model_is_shown_with_what_runs_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heads = {
        name: np.zeros((1, 12, 16, depth), np.float32) for name, depth in (("heat", 1), ("scale", 2), ("offset", 2))
    }
    FakeRuntime(outputs=heads, refusal=RuntimeError("no device")).install(monkeypatch)
    model = DetectorModel(
        name="toy", path=Path("toy.tflite"), family="centerface", targets=(Target.FACE,), size=Size(64, 48),
        fit=Fit.LETTERBOX, mean=0.0, scale=1.0,
    )  # fmt: skip
    limits = Limits(threshold=0.25, nms_iou=0.4, max_detections=100)
    meter = RecordingMeter()
    delegate = Delegate.of(FALLING_BACK)
    detector = TfliteDetector(model, limits, threads=1, clock=FakeClock(), meter=meter, delegate=delegate)
    with caplog.at_level(logging.WARNING), detector:
        pass
    assert meter.counts[("delegate_fallback", "toy", "external")] == 1
    assert meter.counts[("detector_model", "toy", "float32", "litert", "xnnpack")] == 1
    assert "model toy runs on the CPU: delegate external (libnpu.so) does not start: no device" in caplog.text


# --- the runtime that is installed here -------------------------------------------------------------------------

PLUG_IN_SOURCE = """
#include <stdlib.h>
#include <string.h>
struct delegate { void *data; int (*prepare)(void *, struct delegate *); void *rest[30]; };
static int accepts(void *context, struct delegate *self) { return 0; }
static int refuses(void *context, struct delegate *self) { return 1; }
struct delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*say)(const char *)) {
  if (count == 1 && !strcmp(keys[0], "device") && !strcmp(values[0], "missing")) {
    say("there is no such device");
    return NULL;
  }
  struct delegate *made = calloc(1, sizeof *made);
  made->prepare = count == 1 && !strcmp(values[0], "refuses") ? refuses : accepts;
  return made;
}
void tflite_plugin_destroy_delegate(struct delegate *made) { free(made); }
"""


@pytest.fixture(scope="module")
def plug_in(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a delegate with")
    folder = tmp_path_factory.mktemp("delegate")
    source, library = folder / "delegate.c", folder / "delegate.so"
    source.write_text(PLUG_IN_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return str(library)


def real_engine(library: str, *, device: str = "any", fallback: bool = False) -> Engine:
    spec = Zoo().detectors.spec("nanodet-g-float32")
    delegate = Delegate(DelegateName.EXTERNAL, library, {"device": device}, fallback)
    return Engine(spec.path, threads=1, mean=spec.input.mean, scale=spec.input.scale, delegate=delegate)


def test_a_library_that_is_not_there_is_an_error_of_the_delegate(tmp_path: Path) -> None:
    with pytest.raises(DelegateError, match=r"missing\.so.*No such file"):
        real_engine(str(tmp_path / "missing.so")).start()


@pytest.mark.parametrize(
    ("library", "reason"),
    [("libc.so.6", "tflite_plugin_create_delegate"), (__file__, "(?i)invalid ELF header")],
)
def test_a_library_that_is_no_delegate_is_an_error_of_the_delegate(library: str, reason: str) -> None:
    with pytest.raises(DelegateError, match=reason):
        real_engine(library).start()


def test_a_real_plug_in_runs(plug_in: str) -> None:
    with real_engine(plug_in) as engine:
        assert engine.delegate is DelegateName.EXTERNAL
        assert engine.run(np.zeros((320, 480, 3), np.uint8))


def test_a_real_plug_in_without_its_device_is_quoted(plug_in: str) -> None:
    with pytest.raises(DelegateError, match="there is no such device"):
        real_engine(plug_in, device="missing").start()


def test_a_real_plug_in_that_refuses_the_model_falls_back_where_allowed(plug_in: str) -> None:
    with pytest.raises(DelegateError):
        real_engine(plug_in, device="refuses").start()
    with real_engine(plug_in, device="refuses", fallback=True) as engine:
        assert engine.delegate is DelegateName.XNNPACK
        assert engine.run(np.zeros((320, 480, 3), np.uint8))


def test_a_missing_library_falls_back_where_allowed(tmp_path: Path) -> None:
    with real_engine(str(tmp_path / "missing.so"), fallback=True) as engine:
        assert engine.delegate is DelegateName.XNNPACK
        assert "missing.so" in (engine.delegate_fault or "")
