"""Model families: how raw output tensors become boxes, one file each; pure."""

from __future__ import annotations

from collections.abc import Mapping

from anonymizer.detect.families.anchorfree import AnchorFree
from anonymizer.detect.families.blazeface import BlazeFace
from anonymizer.detect.families.centerface import CenterFace
from anonymizer.detect.families.family import Candidates, ClassIds, Family, FamilyMaker, Shapes
from anonymizer.detect.families.nanodet import NanoDet
from anonymizer.detect.families.retinanet import RetinaNet
from anonymizer.detect.families.ssd import Ssd
from anonymizer.detect.families.tflite_detection_postprocess import TfliteDetectionPostprocess
from anonymizer.detect.families.yunet import YuNet
from anonymizer.errors import ModelError
from anonymizer.types import Size

__all__ = ["FAMILIES", "SHORT_LISTS", "Candidates", "CenterFace", "Family", "Shapes", "Ssd", "make_family"]

SHORT_LISTS = frozenset({"tflite_detection_postprocess"})  # their output lists so few that weak ones crowd out others

FAMILIES: Mapping[str, FamilyMaker] = {
    "centerface": CenterFace,
    "blazeface": BlazeFace,
    "ssd": Ssd,
    "tflite_detection_postprocess": TfliteDetectionPostprocess,
    "nanodet": NanoDet,
    "yunet": YuNet,
    "retinanet": RetinaNet,
    "anchorfree": AnchorFree,
}


def make_family(name: str, size: Size, class_ids: ClassIds) -> Family:
    """The decoder for models of that family and input size.

    Raises ModelError for a family that is not known.
    """
    if name not in FAMILIES:
        raise ModelError(f"unknown model family {name!r} in the manifest; known: {', '.join(FAMILIES)}")
    return FAMILIES[name](size, class_ids)
