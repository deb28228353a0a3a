"""Loads a model and tries it out before its answers are used."""

from __future__ import annotations

from collections.abc import Callable

from anonymizer.detect.engine import Engine
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.ports import Meter
from anonymizer.types import Size


def load(engine: Engine, *, name: str, size: Size, try_out: Callable[[], object], meter: Meter) -> None:
    """Start the engine, compare its input size with the manifest's, try it out, and report the model to the meter.

    `try_out` raises ModelError or InvalidOutputError if the model is not usable; the engine is then closed again.
    Raises ModelError.
    """
    engine.start()
    try:
        if engine.input_size != size:
            raise ModelError(f"{engine.path} takes {engine.input_size} pictures, the manifest says {size}")
        try_out()
    except InvalidOutputError as error:
        engine.close()
        raise ModelError(f"model {name} is not usable: {error}") from error
    except ModelError:
        engine.close()
        raise
    meter.detector_model(name, engine.precision, engine.runtime, engine.delegate)
