"""Runs a TFLite model through LiteRT or, where that has no wheel, its predecessor tflite-runtime."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.detect.delegates import Delegate, DelegateError
from anonymizer.detect.reform import reformed
from anonymizer.errors import ModelError
from anonymizer.lifecycle import Resource
from anonymizer.settings.schema import DelegateName
from anonymizer.types import F32, U8, Size

RUNTIMES = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}  # best first
_EDGETPU_OPERATION = b"edgetpu-custom-op"  # the only one that an Edge TPU runs; its compiler writes it into the model


@dataclass(frozen=True, slots=True)
class _Output:
    index: int
    name: str
    scale: float  # 0 for tensors that are not quantised
    zero_point: int


@dataclass(frozen=True, slots=True)
class _Loaded:
    interpreter: Any
    runtime: str
    delegate: DelegateName
    delegate_fault: str | None
    view_input: Callable[[], NDArray[Any]]  # never keep what it returns: a live view blocks the interpreter
    input_shape: tuple[int, ...]
    table: NDArray[Any]  # (256,) what each pixel value is in the input tensor
    outputs: tuple[_Output, ...]


class Engine(Resource):
    """One model in memory, used by one thread; after `close()` it can be started again."""

    def __init__(
        self,
        path: Path,
        *,
        threads: int,
        mean: float,
        scale: float,
        bgr: bool = False,
        delegate: Delegate | None = None,
        size: Size | None = None,
    ) -> None:
        """Without a delegate XNNPACK computes. `bgr` models take blue first. `size`: of the input that is made."""
        self._path = path
        self._size = size
        self._threads = threads
        self._delegate = delegate or Delegate()
        self._mean = mean
        self._scale = scale
        self._bgr = bgr
        self._loaded: _Loaded | None = None

    @property
    def path(self) -> Path:
        """The model's file."""
        return self._path

    def start(self) -> None:
        """Load the file.

        Raises ModelError when there is no runtime or the file is not usable, DelegateError when the delegate does not
        start and may not be replaced.
        """
        self.close()
        runtime, module = _find_runtime()
        delegate, fault = self._delegate, None
        try:
            interpreter = self._interpreter(runtime, module, delegate)
        except DelegateError as error:
            if not delegate.fallback:
                raise
            delegate, fault = Delegate(), str(error)
            interpreter = self._interpreter(runtime, module, delegate)
        try:
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        except ValueError as error:
            raise ModelError(f"{self._path} names inputs or outputs that it does not have: {error}") from error
        shapes = [tuple(int(side) for side in details["shape"]) for details in inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][0] != 1 or shapes[0][3] != 3:
            given = " and ".join(map(str, shapes)) or "nothing"
            raise ModelError(f"{self._path} does not take one picture (1, height, width, 3): it takes {given}")
        (details,) = inputs
        self._loaded = _Loaded(
            interpreter=interpreter,
            runtime=runtime,
            delegate=delegate.name,
            delegate_fault=fault,
            view_input=interpreter.tensor(details["index"]),
            input_shape=shapes[0],
            table=self._pixel_table(np.dtype(details["dtype"]), *details["quantization"]),
            outputs=tuple(_Output(output["index"], output["name"], *output["quantization"]) for output in outputs),
        )

    def run(self, rgb: U8) -> Mapping[str, F32]:
        """Every output by tensor name, as new float32 arrays, for one RGB picture (H, W, 3) of `input_size`.

        Raises ModelError when the runtime fails.
        """
        loaded = self._require()
        if rgb.shape != loaded.input_shape[1:]:
            raise ModelError(f"{self._path} takes pictures of shape {loaded.input_shape[1:]}, not {rgb.shape}")
        try:
            picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if self._bgr else rgb
            cv2.LUT(picture, loaded.table, dst=loaded.view_input()[0])
            loaded.interpreter.invoke()
            return {
                output.name: _dequantised(loaded.interpreter.get_tensor(output.index), output)
                for output in loaded.outputs
            }
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{loaded.runtime} failed in {self._path}: {error}") from error

    def close(self) -> None:
        """Free the model; idempotent."""
        self._loaded = None

    @property
    def runtime(self) -> str:
        """Which library runs the model: litert or tflite-runtime."""
        return self._require().runtime

    @property
    def delegate(self) -> DelegateName:
        """Who computes: the delegate asked for, or xnnpack in its stead."""
        return self._require().delegate

    @property
    def delegate_fault(self) -> str | None:
        """Why the delegate asked for does not compute; None if it does."""
        return self._require().delegate_fault

    @property
    def precision(self) -> str:
        """Type of the input tensor: int8, uint8 or float32."""
        return str(self._require().table.dtype)

    @property
    def input_size(self) -> Size:
        """Size of the pictures that `run` takes."""
        _, height, width, _ = self._require().input_shape
        return Size(width, height)

    def _require(self) -> _Loaded:
        if self._loaded is None:
            raise ModelError(f"{self._path} is not loaded: call start() first")
        return self._loaded

    def _interpreter(self, runtime: str, module: ModuleType, delegate: Delegate) -> Any:
        arguments = delegate.arguments(module)
        try:
            if delegate.name is DelegateName.EDGETPU and _EDGETPU_OPERATION not in self._path.read_bytes():
                raise RuntimeError(f"{self._path} was not compiled for it by edgetpu_compiler")
            if self._size is None:
                arguments["model_path"] = str(self._path)
            else:
                arguments["model_content"] = reformed(self._path.read_bytes(), self._size)
            interpreter = module.Interpreter(num_threads=self._threads, **arguments)
            interpreter.allocate_tensors()
            if delegate.library is not None:
                interpreter.invoke()  # a device may refuse only now
        except (ValueError, RuntimeError, OSError) as error:
            if delegate.library is not None:
                raise delegate.error(error) from error
            raise ModelError(f"{runtime} cannot load {self._path}: {error}") from error
        return interpreter

    def _pixel_table(self, dtype: np.dtype[Any], scale: float, zero_point: int) -> NDArray[Any]:
        """Normalisation and quantisation of a pixel value folded into one look-up."""
        values = (np.arange(256, dtype=np.float64) - self._mean) * self._scale
        if dtype == np.float32:
            return values.astype(np.float32)
        if dtype not in (np.int8, np.uint8) or scale <= 0:
            raise ModelError(
                f"{self._path} takes {dtype} with scale {scale}; only float32 and quantised int8 or uint8 do"
            )
        limits = np.iinfo(dtype)
        return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)


def runtime_name() -> str:
    """Which library would run models here: litert or tflite-runtime; raises ModelError when there is none."""
    return _find_runtime()[0]


def _find_runtime() -> tuple[str, ModuleType]:
    for name, module in RUNTIMES.items():
        try:
            return name, importlib.import_module(module)
        except ImportError:
            continue
    raise ModelError("no TFLite runtime is installed: pip install ai-edge-litert (or tflite-runtime on 32-bit Arm)")


def _dequantised(tensor: NDArray[Any], output: _Output) -> F32:
    if tensor.dtype == np.float32:
        return tensor
    values: F32 = (tensor.astype(np.float32) - np.float32(output.zero_point)) * np.float32(output.scale)
    return values
