"""A TFLite runtime without models: installs itself where the engine looks and answers what a test tells it to."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest

LITERT = "ai_edge_litert.interpreter"
TFLITE_RUNTIME = "tflite_runtime.interpreter"


class OpResolverType(enum.Enum):
    """Which kernels an interpreter takes."""

    AUTO = 0
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


@dataclass
class FakeRuntime:
    """What every interpreter made from now on does; a test changes the fields at any time."""

    input_shape: tuple[int, ...] = (1, 48, 64, 3)
    input_dtype: type = np.float32
    input_quantisation: tuple[float, int] = (0.0, 0)
    inputs: int = 1
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    quantisation: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    load_error: Exception | None = None
    details_error: Exception | None = None
    invoke_error: Exception | None = None
    plugin_error: Exception | None = None  # raised by load_delegate
    refusal: Exception | None = None  # raised by every interpreter that is given a delegate
    seen: list[np.ndarray] = field(default_factory=list)  # the input tensor of every invocation
    arguments: dict[str, Any] = field(default_factory=dict)  # of the last interpreter
    plugins: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # libraries with their options

    def install(self, monkeypatch: pytest.MonkeyPatch, module: str = LITERT) -> FakeRuntime:
        """Be the only runtime on this machine, under that module's name."""
        for name in (LITERT, TFLITE_RUNTIME):
            monkeypatch.setitem(sys.modules, name.partition(".")[0], None)
            monkeypatch.setitem(sys.modules, name, None)
        runtime: Any = ModuleType(module)
        runtime.Interpreter = lambda **arguments: FakeInterpreter(self, arguments)
        runtime.load_delegate = self._load_delegate
        runtime.OpResolverType = OpResolverType
        monkeypatch.setattr("anonymizer.detect.delegates.require_plugin", lambda _library: None)
        monkeypatch.setitem(sys.modules, module.partition(".")[0], ModuleType(module.partition(".")[0]))
        monkeypatch.setitem(sys.modules, module, runtime)
        return self

    def _load_delegate(self, library: str, options: dict[str, str]) -> str:
        if self.plugin_error is not None:
            raise self.plugin_error
        self.plugins.append((library, options))
        return f"delegate from {library}"


class FakeInterpreter:
    """The part of the runtime's interface that the engine uses."""

    def __init__(self, runtime: FakeRuntime, arguments: dict[str, Any]) -> None:
        if runtime.load_error is not None:
            raise runtime.load_error
        if runtime.refusal is not None and "experimental_delegates" in arguments:
            raise runtime.refusal
        runtime.arguments = arguments
        self._runtime = runtime
        self._input: np.ndarray = np.zeros(runtime.input_shape, runtime.input_dtype)

    def allocate_tensors(self) -> None:
        pass

    def get_input_details(self) -> list[dict[str, Any]]:
        runtime = self._runtime
        if runtime.details_error is not None:
            raise runtime.details_error
        details = {
            "index": 0,
            "name": "image",
            "shape": np.array(runtime.input_shape, np.int32),
            "dtype": runtime.input_dtype,
            "quantization": runtime.input_quantisation,
        }
        return [details] * runtime.inputs

    def get_output_details(self) -> list[dict[str, Any]]:
        return [
            {"index": index, "name": name, "quantization": self._runtime.quantisation.get(name, (0.0, 0))}
            for index, name in enumerate(self._runtime.outputs)
        ]

    def tensor(self, _index: int) -> Callable[[], np.ndarray]:
        return lambda: self._input[...]

    def invoke(self) -> None:
        self._runtime.seen.append(self._input.copy())
        if self._runtime.invoke_error is not None:
            raise self._runtime.invoke_error

    def get_tensor(self, index: int) -> np.ndarray:
        return list(self._runtime.outputs.values())[index].copy()
