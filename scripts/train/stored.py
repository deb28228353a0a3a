"""Reads files of PyTorch, and says plainly when a file is none."""

from __future__ import annotations

import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import torch

from anonymizer.errors import DatasetError

# whatever bytes that are none may lead to
_BROKEN = (RuntimeError, ValueError, LookupError, EOFError, AttributeError, TypeError, AssertionError, struct.error)


def load_stored(path: Path, kind: str) -> dict[str, Any]:
    """Tensors and numbers by name, on the CPU; raises DatasetError that says that the file is no `kind`."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a file that is none looks like
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from None
    except pickle.UnpicklingError:  # its text advises to run whatever code the file holds
        raise DatasetError(f"{path}: is no {kind}: it is not a file of PyTorch, or holds more than tensors") from None
    except _BROKEN as error:
        reason = str(error).partition("\n")[0].partition(". ")[0] or "it is empty"  # PyTorch goes on at length
        raise DatasetError(f"{path}: is no {kind}: {reason}") from None
    if not isinstance(stored, dict):
        raise DatasetError(f"{path}: is no {kind}: it holds no tensors by name")
    return stored
