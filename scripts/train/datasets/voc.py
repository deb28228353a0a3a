"""Pascal VOC: `Annotations/*.xml` beside `JPEGImages`; corners count from 1, `difficult` means ignored."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from anonymizer.errors import DatasetError
from anonymizer.evaluate.readers.voc import read_voc
from scripts.train.datasets.product import from_product
from scripts.train.datasets.store import copy_pictures, size_of
from scripts.train.datasets.training_set import TrainingSet, whole_pixels
from scripts.train.picture import Sample


def read(path: Path, pictures: Path | None = None) -> TrainingSet:
    """Pictures by name; objects other than persons and faces are left out. Raises DatasetError."""
    inside = path / "Annotations"
    return from_product(read_voc(inside if inside.is_dir() else path, pictures), path)


def write(data: TrainingSet, folder: Path) -> None:
    """Corners in whole pixels, as labelling tools expect; raises DatasetError."""
    (folder / "Annotations").mkdir()
    written: set[str] = set()
    for name, sample in copy_pictures(data, folder / "JPEGImages"):
        file = f"{Path(name).stem}.xml"
        if file in written:
            raise DatasetError(
                f"{name}: another picture has this name with another ending, and VOC has one XML for both"
            )
        written.add(file)
        tree = ElementTree.ElementTree(_annotation(name, sample, data.classes))
        ElementTree.indent(tree)
        tree.write(folder / "Annotations" / file, encoding="utf-8")


def _annotation(name: str, sample: Sample, classes: tuple[str, ...]) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", name)
    size = _add(root, "size")
    for key, value in zip(("width", "height", "depth"), (*size_of(sample.path, sample.labelled), 3), strict=True):
        _add(size, key, str(value))
    labels = zip(whole_pixels(sample.boxes).tolist(), sample.class_ids.tolist(), sample.ignore.tolist(), strict=True)
    for (x1, y1, x2, y2), class_id, ignored in labels:
        element = _add(root, "object")
        _add(element, "name", classes[class_id])
        _add(element, "difficult", str(int(ignored)))
        corners = _add(element, "bndbox")
        # first and last pixel that belong to the object, counted from 1
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True):
            _add(corners, key, str(value))
    return root


def _add(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element
