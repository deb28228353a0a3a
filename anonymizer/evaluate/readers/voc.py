"""Reads Pascal VOC: one XML file a picture, persons and faces by name, `difficult` as ignored."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from anonymizer.errors import DatasetError
from anonymizer.evaluate.sample import Label, PictureFile, Sample, find_pictures, make_sample, stated_size
from anonymizer.types import Size, Target

TARGETS = {"person": Target.PERSON, "face": Target.FACE}


def read_voc(folder: Path, pictures: Path | None = None) -> tuple[Sample, ...]:
    """The pictures of `folder/*.xml` by name; corners in the files count from 1 and are inclusive.

    Raises DatasetError.
    """
    entries = [_entry(path) for path in sorted(folder.glob("*.xml"))]
    places = [folder.parent / "JPEGImages", folder.parent / "images", folder]
    found = find_pictures([pictures] if pictures else places, entries[0][0], folder) if entries else folder
    return tuple(make_sample(name, PictureFile(found / name, size), labels) for name, size, labels in entries)


def _entry(path: Path) -> tuple[str, Size | None, list[Label]]:
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314 - the user's own labels; expat bounds entities
        name = root.findtext("filename") or f"{path.stem}.jpg"
        objects = [each for each in root.iterfind("object") if each.findtext("name", "").lower() in TARGETS]
        width, height = (float(root.findtext(f"size/{key}") or 0) for key in ("width", "height"))
        return name, stated_size(width, height), [_label(each) for each in objects]
    except (ElementTree.ParseError, ValueError) as error:
        raise DatasetError(f"{path}: not a Pascal VOC annotation ({error}): mend the labels") from None


def _label(element: ElementTree.Element) -> Label:
    x1, y1, x2, y2 = (float(element.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax"))
    target = TARGETS[element.findtext("name", "").lower()]
    ignored = element.findtext("difficult", "0").strip() == "1"
    return Label((x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1), target, ignored=ignored)
