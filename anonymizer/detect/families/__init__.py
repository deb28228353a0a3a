"""Model families: how raw output tensors become boxes, one file each; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from anonymizer.detect.families.centerface import CenterFace
from anonymizer.detect.families.family import Candidates, Family
from anonymizer.detect.families.ssd import Ssd
from anonymizer.errors import ModelError
from anonymizer.types import Size, Target

__all__ = ["FAMILIES", "Candidates", "CenterFace", "Family", "Ssd", "make_family"]

FAMILIES: Mapping[str, Callable[[Size, tuple[Target, ...]], Family]] = {"centerface": CenterFace, "ssd": Ssd}


def make_family(name: str, size: Size, targets: tuple[Target, ...]) -> Family:
    """The decoder for models of that family and input size; `targets` says what the score's columns mean.

    Raises ModelError for a family that is not known.
    """
    if name not in FAMILIES:
        raise ModelError(f"unknown model family {name!r} in the manifest; known: {', '.join(FAMILIES)}")
    return FAMILIES[name](size, targets)
