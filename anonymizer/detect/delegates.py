"""What runs a model's operations: the CPU kernels of the runtime, or a plug-in for an accelerator."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from anonymizer.errors import ModelError
from anonymizer.settings.schema import DelegateName, DetectSettings

_USUAL_LIBRARIES = {
    DelegateName.EDGETPU: "libedgetpu.so.1",
    DelegateName.GPU: "libtensorflowlite_gpu_delegate.so",
}
_REMEDIES = {
    DelegateName.EDGETPU: "plug in the Edge TPU and install libedgetpu1-std",
    DelegateName.GPU: "install TensorFlow Lite's GPU delegate or name its file in detect.delegate_library",
    DelegateName.EXTERNAL: "check detect.delegate_library and detect.delegate_options",
}
_ENTRY_POINTS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")


class DelegateError(ModelError):
    """A delegate does not start; the text says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Delegate:
    """What runs a model, and whether the CPU may take over when it does not start."""

    name: DelegateName = DelegateName.XNNPACK
    library: str | None = None  # shared library of a plug-in, a file or a name that the system's loader finds
    options: Mapping[str, str] = field(default_factory=dict)  # passed to the plug-in as they are
    fallback: bool = False

    @classmethod
    def of(cls, settings: DetectSettings) -> Delegate:
        """The delegate that the settings ask for."""
        return cls(
            name=settings.delegate,
            library=settings.delegate_library or _USUAL_LIBRARIES.get(settings.delegate),
            options=settings.delegate_options,
            fallback=settings.delegate_fallback,
        )

    def arguments(self, runtime: ModuleType) -> dict[str, Any]:
        """Keyword arguments for the runtime's Interpreter, beside path and threads; raises DelegateError."""
        if self.library is not None:
            try:
                require_plugin(self.library)
                plugin = runtime.load_delegate(self.library, dict(self.options))
            except (ValueError, RuntimeError, OSError, AttributeError) as error:
                raise self.error(error) from error
            return {"experimental_delegates": [plugin]}
        if self.name is DelegateName.NONE:
            plain = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            return {"experimental_op_resolver_type": plain}
        return {}  # XNNPACK is the default of both runtimes

    def error(self, why: object) -> DelegateError:
        """The error for a delegate that does not start, with its remedy."""
        remedy = _REMEDIES[self.name]
        return DelegateError(
            f"delegate {self.name} ({self.library}) does not start: {str(why).strip() or 'it does not say why'}; "
            f"{remedy}, or set detect.delegate to xnnpack, or detect.delegate_fallback to true"
        )


def require_plugin(library: str) -> None:
    """Raises OSError or AttributeError for a file that is no delegate; the runtimes may crash on one."""
    plugin = ctypes.CDLL(library)
    for name in _ENTRY_POINTS:
        getattr(plugin, name)
