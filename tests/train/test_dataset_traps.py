"""What label files and pictures of real life are like, and what silently made a worse detector of them."""

from __future__ import annotations

import json
import struct
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymizer.errors import DatasetError
from anonymizer.evaluate.dataset import open_dataset
from scripts.train.cli import main
from scripts.train.datasets.forms import WRITERS, Form, read_sets
from scripts.train.datasets.upright import orientation

Box = Sequence[float]


def _picture(path: Path, size: tuple[int, int] = (80, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full((size[1], size[0], 3), 128, np.uint8))[1].tobytes())


def _labels(path: Path, entries: Sequence[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def _entry(file: str, *boxes: Box, **more: object) -> dict[str, object]:
    return {"file": file, "boxes": [{"xywh": box} for box in boxes], **more}


def test_a_picture_that_two_files_label_is_one_picture_with_all_labels(tmp_path: Path) -> None:
    _picture(tmp_path / "images" / "a.png")
    faces = _labels(tmp_path / "faces.json", [_entry("a.png", (10, 10, 8, 10))])
    persons = _labels(tmp_path / "persons.json", [_entry("a.png", (5, 5, 30, 50))])
    found = read_sets([persons, faces])
    (sample,) = found.samples
    assert found.classes == ("person", "face")
    assert sample.class_ids.tolist() == [0, 1]
    assert sample.boxes.tolist() == [[5, 5, 35, 55], [10, 10, 18, 20]]


def test_a_box_that_is_named_twice_is_one_box(tmp_path: Path) -> None:
    _picture(tmp_path / "images" / "a.png")
    entries = [_entry("a.png", (10, 10, 30, 40)), _entry("a.png", (10.2, 9.8, 30, 40), (50, 10, 8, 10))]
    (sample,) = read_sets([_labels(tmp_path / "faces.json", entries)]).samples
    assert sample.boxes.tolist() == [[10, 10, 40, 50], [50, 10, 58, 20]]


def _turned(path: Path, orientation: int, order: str) -> None:
    """A JPEG of 80x60 that its EXIF tag turns."""
    _picture(path)
    byte_order = {">": b"MM", "<": b"II"}[order]
    tag = struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + byte_order + tag
    plain = path.read_bytes()
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])


@pytest.mark.parametrize("command", ["stats", "view --out sheet.png", *(f"convert --to {form}" for form in WRITERS)])
def test_boxes_of_a_picture_as_its_exif_tag_turns_it_are_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _turned(tmp_path / "images" / "a.jpg", 6, ">")
    labels = _labels(tmp_path / "faces.json", [_entry("a.jpg", (10, 10, 8, 10), width=60, height=80)])
    name, *more = command.split()
    assert main(["dataset", name, str(labels), *more, *(["--out", "new"] if name == "convert" else [])]) == 1
    assert "is 80x60 as stored, but its boxes are of 60x80: its EXIF tag turns it" in capsys.readouterr().err


def test_boxes_of_a_picture_of_another_size_are_refused_by_training_and_by_the_product(tmp_path: Path) -> None:
    _picture(tmp_path / "images" / "a.png")
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 120}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 8, 10]}],
        "categories": [{"id": 1, "name": "face"}],
    }
    labels = tmp_path / "annotations.json"
    labels.write_text(json.dumps(coco), encoding="utf-8")
    with pytest.raises(DatasetError, match="is 80x60 as stored, but its boxes are of 160x120: label it again"):
        read_sets([labels]).samples[0].load()
    with pytest.raises(DatasetError, match="is 80x60 as stored, but its boxes are of 160x120"):
        open_dataset(labels).samples[0].load()


@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 0}, {"width": 81, "height": 60}])
def test_sizes_that_state_nothing_or_are_rounded_are_no_reason_to_refuse(size: dict[str, int], tmp_path: Path) -> None:
    _picture(tmp_path / "images" / "a.png")
    labels = _labels(tmp_path / "faces.json", [_entry("a.png", (10, 10, 8, 10), **size)])
    assert read_sets([labels]).samples[0].load().image.shape == (60, 80, 3)


def test_a_voc_file_that_states_another_size_is_refused(tmp_path: Path) -> None:
    _picture(tmp_path / "JPEGImages" / "a.png")
    (tmp_path / "Annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    text = (
        "<annotation><filename>a.png</filename><size><width>60</width><height>80</height></size>"
        f"<object><name>face</name>{box}</object></annotation>"
    )
    (tmp_path / "Annotations" / "a.xml").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match="but its boxes are of 60x80"):
        read_sets([tmp_path]).samples[0].load()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("command", ["dataset label", "teach --teacher centerface-int8"])
def test_models_label_no_pictures_that_lie_on_their_side(
    command: str, order: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if command.startswith("teach"):
        pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")
    _picture(tmp_path / "images" / "a.jpg")
    _turned(tmp_path / "images" / "b.jpg", 8, order)
    labels = _labels(tmp_path / "faces.json", [_entry("a.jpg"), _entry("b.jpg")])
    assert main([*command.split(), str(labels), "--out", str(tmp_path / "new")]) == 1
    said = capsys.readouterr().err
    assert "b.jpg: lies on its side or head as stored, as 1 of 2 pictures do" in said
    assert "mogrify" in said


@pytest.mark.parametrize("damage", [b"", b"MM\0*", b"II*\0\xff\xff\xff\xff", b"XX"])
def test_a_damaged_exif_tag_says_nothing(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8Exif\0\0" + damage)
    assert orientation(tmp_path / "a.jpg") == 1
    assert orientation(tmp_path / "missing.jpg") == 1


def test_classes_of_a_csv_are_the_products_however_they_are_written(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        _picture(tmp_path / name)
    text = "a.png,1,2,30,40,face\na.png, 5, 6, 20, 40, Face \nb.png,1,2,30,40,FACE\nb.png,1,2,30,40,Helmet\n"
    (tmp_path / "annotations.csv").write_text(text, encoding="utf-8")
    found = read_sets([tmp_path / "annotations.csv"])
    assert found.classes == ("Helmet", "face")
    assert [len(sample.boxes) for sample in found.select(["face"]).samples] == [2, 1]


@pytest.mark.parametrize("form", WRITERS)
def test_a_byte_order_mark_and_windows_line_endings_change_nothing(form: Form, tmp_path: Path) -> None:
    _picture(tmp_path / "images" / "a.png")
    labels = _labels(tmp_path / "faces.json", [_entry("a.png", (10, 10, 8, 10))])
    assert main(["dataset", "convert", str(labels), "--to", form, "--out", str(tmp_path / "new")]) == 0
    written = [each for each in (tmp_path / "new").rglob("*") if each.suffix in (".txt", ".csv", ".json", ".xml")]
    for each in written:
        content = each.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        each.write_bytes(BOM_UTF8 + content)
    named = [each for each in written if each.name != "classes.csv"]
    (sample,) = read_sets([tmp_path / "new"] if form is Form.VOC else named).samples
    assert np.abs(sample.boxes - np.array([[10, 10, 18, 20]])).max() < 0.01
    assert sample.path.is_file()


@pytest.mark.parametrize("name", ["wider_bbx_gt.txt", "gt.txt", "annotations.csv", "faces.json"])
def test_labels_that_are_missing_or_no_text_are_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "stats", str(tmp_path / name)]) == 1
    (tmp_path / name).write_bytes("a.png,1".encode("utf-16"))
    assert main(["dataset", "stats", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.startswith(f"error: {tmp_path}") for line in said)


@pytest.mark.parametrize("more", [(), ("--single",)])
def test_augmented_copies_go_where_their_picture_goes(more: tuple[str, ...], tmp_path: Path) -> None:
    names = [f"{letter}{number}.png" for letter in "abcdef" for number in (1, 2)]
    for name in names:
        _picture(tmp_path / "images" / name)
    labels = _labels(tmp_path / "faces.json", [_entry(name, (10, 10, 30, 40)) for name in names])
    assert main(["dataset", "expand", str(labels), "--factor", "3", "--out", str(tmp_path / "more")]) == 0
    command = ["dataset", "split", str(tmp_path / "more" / "annotations.json"), "--out", str(tmp_path / "parts"), *more]
    assert main([*command, "--part", "a=0.5", "--part", "b=0.5"]) == 0
    stems = [{each.stem for each in (tmp_path / "parts" / part).glob("images/*")} for part in "ab"]
    pictures = [{stem.partition("_augmented")[0] for stem in part} for part in stems]
    assert all(pictures)
    assert not pictures[0] & pictures[1]


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("name", ["Bild mit Ümläut 1.JPG", "a.PNG"])
def test_names_as_cameras_and_people_give_them_come_back_in_every_form(name: str, form: Form, tmp_path: Path) -> None:
    _picture(tmp_path / "images" / name)
    labels = _labels(tmp_path / "faces.json", [_entry(name, (10, 10, 8, 10))])
    assert main(["dataset", "convert", str(labels), "--to", form, "--out", str(tmp_path / "new")]) == 0
    files = [tmp_path / "new" / each for each in ("wider_bbx_gt.txt", "annotations.json", "annotations.csv", "ava.csv")]
    named = [each for each in (*files, tmp_path / "new" / "faces.json", tmp_path / "new") if each.exists()]
    (sample,) = read_sets(named[:1]).samples
    assert sample.load().image.shape == (60, 80, 3)
    assert np.abs(sample.boxes - np.array([[10, 10, 18, 20]])).max() < 0.01
