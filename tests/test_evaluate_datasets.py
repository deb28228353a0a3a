"""Rules of the readers of labelled pictures, on tiny data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anonymizer.errors import DatasetError
from anonymizer.evaluate.dataset import open_dataset
from anonymizer.types import Target

WIDTH, HEIGHT = 64, 48


def save_picture(path: Path, level: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), level, np.uint8))


def write(path: Path, text: str | list[Any] | dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def voc(name: str, *objects: tuple[str, int, int, int, int, int]) -> str:
    rows = "".join(
        f"<object><name>{kind}</name><difficult>{difficult}</difficult>"
        f"<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for kind, difficult, x1, y1, x2, y2 in objects
    )
    return f"<annotation><filename>{name}</filename>{rows}</annotation>"


COCO = {
    "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
    "annotations": [
        {"image_id": 7, "category_id": 1, "bbox": [1, 2, 10, 20], "iscrowd": 0},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 40, 40], "iscrowd": 1},
        {"image_id": 7, "category_id": 3, "bbox": [5, 5, 5, 5], "iscrowd": 0},
    ],
}
XYWH = [
    {"file": "a.png", "boxes": [{"xywh": [1, 2, 10, 20], "ignore": False}, {"xywh": [5, 5, 9, 9], "ignore": True}]},
    {"file": "b.png", "width": WIDTH, "boxes": []},
]
WIDER = "x/a.png\n2\n1 2 10 20 0 0 0 0 0 0 \n5 5 9 9 0 0 0 1 0 0 \nx/b.png\n0\n0 0 0 0 0 0 0 0 0 0 \n"


# --- every form -------------------------------------------------------------------------------------------------


def make_xywh(folder: Path) -> Path:
    save_picture(folder / "images" / "a.png")
    save_picture(folder / "images" / "b.png")
    return write(folder / "faces.json", XYWH)


def make_wider(folder: Path) -> Path:
    save_picture(folder / "WIDER_val" / "images" / "x" / "a.png")
    save_picture(folder / "WIDER_val" / "images" / "x" / "b.png")
    return write(folder / "wider_face_split" / "wider_face_val_bbx_gt.txt", WIDER)


def make_coco(folder: Path) -> Path:
    save_picture(folder / "val2017" / "a.png")
    save_picture(folder / "val2017" / "b.png")
    return write(folder / "annotations" / "instances_val2017.json", COCO)


def make_voc(folder: Path) -> Path:
    save_picture(folder / "JPEGImages" / "a.png")
    save_picture(folder / "JPEGImages" / "b.png")
    rows = (("person", 0, 2, 3, 11, 22), ("person", 1, 6, 6, 14, 14), ("dog", 0, 1, 1, 9, 9))
    write(folder / "Annotations" / "a.xml", voc("a.png", *rows))
    write(folder / "Annotations" / "b.xml", voc("b.png"))
    return folder


def make_mot15(folder: Path) -> Path:
    save_picture(folder / "img1" / "000001.png")
    save_picture(folder / "img1" / "000002.png")
    write(folder / "gt" / "gt.txt", "1,1,2,3,10,20,1,-1,-1,-1\n1,2,6,6,9,9,0,-1,-1,-1\n")
    return folder


def make_mot16(folder: Path) -> Path:
    save_picture(folder / "img1" / "000001.png")
    save_picture(folder / "img1" / "000002.png")
    write(folder / "gt.txt", "1,1,2,3,10,20,1,1,0.9\n1,2,6,6,9,9,1,7,1\n1,3,9,9,9,9,1,3,1\n")
    return folder


@pytest.mark.parametrize(
    ("make", "target"),
    [
        (make_xywh, Target.FACE),
        (make_wider, Target.FACE),
        (make_coco, Target.PERSON),
        (make_voc, Target.PERSON),
        (make_mot15, Target.PERSON),
        (make_mot16, Target.PERSON),
    ],
)
def test_every_form_gives_the_same_boxes(make: Callable[[Path], Path], target: Target, tmp_path: Path) -> None:
    """One label that counts at x 1, y 2, 10x20; one that is ignored; a second picture without labels."""
    dataset = open_dataset(make(tmp_path))
    first, second = dataset.samples
    assert dataset.target is target
    assert first.boxes[0].tolist() == [1, 2, 11, 22]
    assert first.boxes.dtype == np.float32
    assert first.ignored.tolist() == [False, True]
    assert first.targets.tolist() == [target, target]
    assert second.boxes.shape == (0, 4)
    assert second.ignored.shape == second.crowd.shape == second.targets.shape == (0,)
    assert second.load().shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("width", [float("nan"), float("inf"), 0, None])
def test_a_width_that_is_none_is_as_if_it_were_not_stated(tmp_path: Path, width: float | None) -> None:
    path = make_coco(tmp_path)
    write(path, COCO | {"images": [{"id": 7, "file_name": "a.png", "width": width, "height": 48}]})
    (sample,) = open_dataset(path).samples
    assert sample.load().shape[2] == 3


def test_only_coco_marks_crowds(tmp_path: Path) -> None:
    assert open_dataset(make_coco(tmp_path / "coco")).samples[0].crowd.tolist() == [False, True]
    assert open_dataset(make_xywh(tmp_path / "xywh")).samples[0].crowd.tolist() == [False, False]


@pytest.mark.parametrize("text", ["[]", '{"images": [], "annotations": [], "categories": []}'])
def test_empty_labels_are_no_pictures(text: str, tmp_path: Path) -> None:
    assert open_dataset(write(tmp_path / "x.json", text), Target.FACE).samples == ()


def test_an_empty_wider_file_is_no_pictures(tmp_path: Path) -> None:
    assert open_dataset(write(tmp_path / "x.txt", "\n"), Target.FACE).samples == ()


# --- finding ----------------------------------------------------------------------------------------------------


def test_a_folder_with_one_file_of_labels_is_read_by_it(tmp_path: Path) -> None:
    make_xywh(tmp_path)
    assert len(open_dataset(tmp_path).samples) == 2


def test_a_folder_with_two_files_of_labels_needs_a_choice(tmp_path: Path) -> None:
    make_xywh(tmp_path)
    write(tmp_path / "persons.json", XYWH)
    with pytest.raises(DatasetError, match=r"faces\.json, persons\.json; name one file"):
        open_dataset(tmp_path)


def test_pictures_may_lie_elsewhere(tmp_path: Path) -> None:
    save_picture(tmp_path / "there" / "a.png")
    labels = write(tmp_path / "here" / "faces.json", XYWH)
    assert open_dataset(labels, pictures=tmp_path / "there").samples[0].load().shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(DatasetError, match="--pictures"):
        open_dataset(labels)


def test_a_file_of_boxes_without_a_telling_name_needs_a_target(tmp_path: Path) -> None:
    labels = make_xywh(tmp_path).rename(tmp_path / "labels.json")
    with pytest.raises(DatasetError, match="--target"):
        open_dataset(labels)
    assert open_dataset(labels, Target.PERSON).target is Target.PERSON


def test_labels_of_both_targets_need_a_choice(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    write(tmp_path / "a.xml", voc("a.png", ("person", 0, 1, 1, 9, 9), ("face", 0, 1, 1, 5, 5)))
    with pytest.raises(DatasetError, match="faces and persons: add --target"):
        open_dataset(tmp_path)
    (only,) = open_dataset(tmp_path, Target.FACE).samples
    assert only.boxes.tolist() == [[0, 0, 5, 5]]


def test_a_limit_is_spread_over_all_pictures(tmp_path: Path) -> None:
    save_picture(tmp_path / "0.png")
    labels = write(tmp_path / "faces.json", [{"file": f"{at}.png"} for at in range(9)])
    dataset = open_dataset(labels, Target.FACE)
    assert [sample.name for sample in dataset.spread(3).samples] == ["0.png", "4.png", "8.png"]
    assert dataset.spread(None) is dataset.spread(99) is dataset


# --- clips ------------------------------------------------------------------------------------------------------


def make_clip(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for at in range(frames):
        writer.write(np.full((HEIGHT, WIDTH, 3), 40 * at, np.uint8))
    writer.release()


def test_a_clip_gives_its_pictures_in_any_order(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.avi", 5)
    write(tmp_path / "gt.txt", "2,1,2,3,10,20,1,-1,-1,-1\n")
    samples = open_dataset(tmp_path).samples
    assert [len(sample.boxes) for sample in samples] == [0, 1, 0, 0, 0]
    for at in (3, 1, 1, 4, 0):
        assert samples[at].load().mean() == pytest.approx(40 * at, abs=4)


def test_a_person_of_whom_nothing_is_visible_is_not_judged(tmp_path: Path) -> None:
    save_picture(tmp_path / "img1" / "000001.png")
    write(tmp_path / "gt.txt", "1,1,2,3,10,20,1,1,0\n1,2,2,3,10,20,1,1,0.01\n")
    assert open_dataset(tmp_path).samples[0].ignored.tolist() == [True, False]


# --- what is wrong is said --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("faces.json", "[{", r"faces\.json:1: is not JSON"),
        ("faces.json", '[{"boxes": []}]', r"0\.file: Field required"),
        ("faces.json", '{"images": []}', "annotations: Field required"),
        ("faces.json", '[{"file": "a.png", "boxes": [{"xywh": [1, 2, Infinity, 4]}]}]', "not finite"),
        ("x.txt", "a.png\ntwo\n", r"x\.txt:1: not WIDER FACE"),
        ("x.txt", "a.png\n2\n1 2 3 4 0 0 0 0 0 0\n", r"x\.txt:1: not WIDER FACE"),
        ("x.txt", "a.png\n1\n1 2 3\n", r"x\.txt:1: not WIDER FACE"),
        ("a.xml", "<annotation>", "not a Pascal VOC annotation"),
        ("a.xml", "<annotation><object><name>face</name></object></annotation>", "not a Pascal VOC annotation"),
        ("gt.txt", "1,1,2,3,10\n", r"gt\.txt:1: not a row of MOTChallenge"),
        ("x.txt", b"\xff\xfe\xff", "is not text"),
        ("x.csv", "", "no known form"),
    ],
)
def test_wrong_labels_give_one_clear_error(name: str, text: str | bytes, message: str, tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path if name == "a.xml" else path)


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    for name in ("x", "x.json", "x.txt"):
        with pytest.raises(DatasetError, match=name):
            open_dataset(tmp_path / name)
    with pytest.raises(DatasetError, match="no labels"):
        open_dataset(tmp_path)


def test_a_missing_picture_is_an_error_when_it_is_loaded(tmp_path: Path) -> None:
    labels = make_xywh(tmp_path)
    (tmp_path / "images" / "b.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"b\.png is missing or is no picture"):
        open_dataset(labels).samples[1].load()


@pytest.mark.parametrize("clips", [0, 2])
def test_a_mot_folder_without_pictures_needs_exactly_one_clip(clips: int, tmp_path: Path) -> None:
    write(tmp_path / "gt.txt", "")
    for at in range(clips):
        (tmp_path / f"{at}.mp4").write_bytes(b"")
    with pytest.raises(DatasetError, match=f"has {clips}"):
        open_dataset(tmp_path)


def test_a_broken_clip_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "gt.txt", "")
    (tmp_path / "clip.mp4").write_bytes(b"no clip")
    with pytest.raises(DatasetError, match="no video"):
        open_dataset(tmp_path)


def test_mot_pictures_are_named_by_number(tmp_path: Path) -> None:
    write(tmp_path / "gt.txt", "")
    save_picture(tmp_path / "img1" / "first.png")
    with pytest.raises(DatasetError, match="named by the number"):
        open_dataset(tmp_path)
