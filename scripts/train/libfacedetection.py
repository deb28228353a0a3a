"""The weights of libfacedetection's face detector (BSD-3-Clause), read out of the library in its authors' wheel."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile
from numpy.typing import NDArray

from scripts.models.sources import YUFACE, checked

NAME = "libfacedetection"
LIBRARY = "yuface/libfacedetection.so"
SHA256 = "7fc3c140b563f449ce7cb5bd102ece650681e5bfeffc87efe79272be1932c4f4"
PARTS = ("backbone__", "neck__", "bbox_head__")


def fetch(cache: Path) -> Mapping[str, NDArray[np.float32]]:
    """All weights by their names in the library, each flat as it lies there; downloads the wheel once."""
    return read(checked(YUFACE.read(cache, LIBRARY), SHA256, f"{YUFACE.name}: {LIBRARY}"))


def read(library: bytes) -> Mapping[str, NDArray[np.float32]]:
    """The float32 arrays of a shared library (ELF) whose symbols are named as a network's parts."""
    file = ELFFile(io.BytesIO(library))
    sections = [each for each in file.iter_sections() if each["sh_type"] == "SHT_PROGBITS" and each["sh_addr"]]
    arrays = {}
    for symbol in file.get_section_by_name(".symtab").iter_symbols():
        if symbol["st_info"]["type"] == "STT_OBJECT" and symbol.name.startswith(PARTS):
            address, count = symbol["st_value"], symbol["st_size"]
            section = next(each for each in sections if 0 <= address - each["sh_addr"] < each["sh_size"])
            start = address - section["sh_addr"]
            arrays[symbol.name] = np.frombuffer(section.data()[start : start + count], np.float32)
    return arrays
