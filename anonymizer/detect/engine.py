"""Runs a TFLite model through LiteRT or, where that has no wheel, its predecessor tflite-runtime."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.errors import ModelError
from anonymizer.lifecycle import Resource
from anonymizer.types import F32, U8, Size

RUNTIMES = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}  # best first


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
    view_input: Callable[[], NDArray[Any]]  # never keep what it returns: a live view blocks the interpreter
    input_shape: tuple[int, ...]
    table: NDArray[Any]  # (256,) what each pixel value is in the input tensor
    outputs: tuple[_Output, ...]


class Engine(Resource):
    """One model in memory, used by one thread; after `close()` it can be started again."""

    def __init__(self, path: Path, *, threads: int, mean: float, scale: float) -> None:
        self._path = path
        self._threads = threads
        self._mean = mean
        self._scale = scale
        self._loaded: _Loaded | None = None

    def start(self) -> None:
        """Load the file; raises ModelError when there is no runtime or the file is not usable."""
        self.close()
        runtime, interpreter_class = _find_runtime()
        try:
            interpreter = interpreter_class(model_path=str(self._path), num_threads=self._threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError, OSError) as error:
            raise ModelError(f"{runtime} cannot load {self._path}: {error}") from error
        (details, *others) = interpreter.get_input_details()
        shape = tuple(int(side) for side in details["shape"])
        if others or len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
            raise ModelError(f"{self._path} does not take one picture (1, height, width, 3): its input is {shape}")
        self._loaded = _Loaded(
            interpreter=interpreter,
            runtime=runtime,
            view_input=interpreter.tensor(details["index"]),
            input_shape=shape,
            table=self._pixel_table(np.dtype(details["dtype"]), *details["quantization"]),
            outputs=tuple(
                _Output(output["index"], output["name"], *output["quantization"])
                for output in interpreter.get_output_details()
            ),
        )

    def run(self, rgb: U8) -> Mapping[str, F32]:
        """Every output by tensor name, as new float32 arrays, for one RGB picture (H, W, 3) of `input_size`.

        Raises ModelError when the runtime fails.
        """
        loaded = self._require()
        if rgb.shape != loaded.input_shape[1:]:
            raise ModelError(f"{self._path} takes pictures of shape {loaded.input_shape[1:]}, not {rgb.shape}")
        try:
            cv2.LUT(rgb, loaded.table, dst=loaded.view_input()[0])
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


def _find_runtime() -> tuple[str, Callable[..., Any]]:
    for name, module in RUNTIMES.items():
        try:
            return name, importlib.import_module(module).Interpreter
        except ImportError:
            continue
    raise ModelError("no TFLite runtime is installed: pip install ai-edge-litert (or tflite-runtime on 32-bit Arm)")


def _dequantised(tensor: NDArray[Any], output: _Output) -> F32:
    if tensor.dtype == np.float32:
        return tensor
    values: F32 = (tensor.astype(np.float32) - np.float32(output.zero_point)) * np.float32(output.scale)
    return values
