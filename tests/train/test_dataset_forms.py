"""Labels survive every form: what is written is read again as it was, or as whole pixels, or counted as left out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.errors import DatasetError
from anonymizer.evaluate.dataset import open_dataset
from anonymizer.types import Target
from scripts.train.datasets import ava
from scripts.train.datasets.forms import WRITERS, Form, LeftOut, form_of, read_set, write_set
from scripts.train.datasets.training_set import TrainingSet, joined, names_of
from scripts.train.picture import Sample
from tests.pictures import read_bgr

WIDTH, HEIGHT = 64, 48
NAMES = ("yard_0001.png", "yard_0002.jpg", "door/yard_0001.png", "gate 3.png")
FILE = {Form.WIDER: "wider_bbx_gt.txt", Form.COCO: "annotations.json", Form.CSV: "annotations.csv", Form.AVA: "ava.csv"}
WHOLE_PIXELS = (Form.WIDER, Form.VOC, Form.CSV)
ONE_CLASS = (Form.WIDER, Form.JSON)


@pytest.fixture(scope="module")
def pictures() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for at, file in enumerate(NAMES):
            (folder / file).parent.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / file), np.full((HEIGHT, WIDTH, 3), 40 * at, np.uint8))
        yield folder


def labels_in(folder: Path, form: Form) -> Path:
    if form is Form.JSON:
        return next(folder.glob("*s.json"))
    return folder / FILE[form] if form in FILE else folder


corner = st.floats(0, 40, width=32)
side = st.floats(1, 20, width=32)
box = st.tuples(corner, corner.filter(lambda y: y < 27), side, side, st.integers(0, 1), st.booleans())


@st.composite
def sets(draw: st.DrawFn, folder: Path, form: Form) -> TrainingSet:
    samples = []
    for name in NAMES:
        drawn = draw(st.lists(box, max_size=4))
        xywh = np.array([each[:4] for each in drawn], np.float32).reshape(-1, 4)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        ids = np.array([0 if form in ONE_CLASS else each[4] for each in drawn], np.int32)
        samples.append(Sample(folder / name, boxes, ids, np.array([each[5] for each in drawn], np.bool_)))
    return TrainingSet(("face",) if form in ONE_CLASS else ("person", "face"), tuple(samples))


def kept(sample: Sample, form: Form) -> np.ndarray:
    return ~sample.ignore if form in (Form.CSV, Form.AVA) else np.ones(len(sample.boxes), np.bool_)


def expected_names(data: TrainingSet, form: Form) -> list[str]:
    names = names_of([sample.path for sample in data.samples])
    result = []
    for sample in data.samples:
        name = names[sample.path]
        if form is Form.AVA and kept(sample, form).any():
            result.append(name if "yard" in name else "gate 3_0.png")
        elif form is not Form.AVA:
            result.append(name)
    return sorted(result) if form is Form.VOC else result


@pytest.mark.parametrize("form", list(WRITERS))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_again(form: Form, data: st.DataObject, pictures: Path) -> None:
    source = data.draw(sets(pictures, form))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        left_out = write_set(source, folder, form)
        if form is Form.AVA and not any(kept(sample, form).any() for sample in source.samples):
            return  # nothing that AVA could say
        path = labels_in(folder, form)
        assert form_of(path) == form
        again = read_set(path)
        assert [sample.path.name for sample in again.samples] == expected_names(source, form)
        by_name = {sample.path.name: sample for sample in again.samples}
        names = names_of([sample.path for sample in source.samples])
        for sample in source.samples:
            chosen = kept(sample, form)
            if form is Form.AVA and not chosen.any():
                continue
            file = names[sample.path]
            back = by_name[file if form is not Form.AVA or "yard" in file else "gate 3_0.png"]
            assert read_bgr(back.path).tobytes() == read_bgr(sample.path).tobytes()
            check_labels(sample, chosen, source.classes, back, again.classes, form)
        assert left_out == LeftOut(
            sum(int(sample.ignore.sum()) for sample in source.samples) if form in (Form.CSV, Form.AVA) else 0,
            sum(not kept(sample, form).any() for sample in source.samples) if form is Form.AVA else 0,
        )


def check_labels(
    sample: Sample, chosen: np.ndarray, classes: tuple[str, ...], back: Sample, now: tuple[str, ...], form: Form
) -> None:
    boxes = sample.boxes[chosen]
    assert back.boxes.shape == boxes.shape
    assert back.boxes.dtype == np.float32
    if form in WHOLE_PIXELS:
        # to the nearest pixel, and never without extent
        assert (np.abs(back.boxes - boxes) <= 1.0).all()
        assert (np.abs(back.boxes[:, :2] - boxes[:, :2]) <= 0.5).all()
        assert (back.boxes[:, 2:] > back.boxes[:, :2]).all()
    else:
        assert np.abs(back.boxes - boxes).max(initial=0) <= 0.002
    assert back.ignore.tolist() == sample.ignore[chosen].tolist()
    assert [now[each] for each in back.class_ids] == [classes[each] for each in sample.class_ids[chosen]]


@pytest.mark.parametrize("form", [Form.WIDER, Form.VOC, Form.CSV])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_whole_pixels_come_back_exactly(form: Form, data: st.DataObject, pictures: Path) -> None:
    source = data.draw(sets(pictures, form))
    one = np.array([0, 0, 1, 1], np.float32)
    whole = [Sample(each.path, np.rint(each.boxes) + one, each.class_ids, each.ignore) for each in source.samples]
    with tempfile.TemporaryDirectory() as name:
        write_set(TrainingSet(source.classes, tuple(whole)), Path(name), form)
        again = {sample.path.name: sample for sample in read_set(labels_in(Path(name), form)).samples}
        names = names_of([sample.path for sample in whole])
        for sample in whole:
            assert again[names[sample.path]].boxes.tolist() == sample.boxes[kept(sample, form)].tolist()


def faces(folder: Path) -> TrainingSet:
    boxes = np.array([[1, 2, 11, 22], [30, 5, 40, 15]], np.float32)
    one = Sample(folder / NAMES[0], boxes, np.zeros(2, np.int32), np.array([False, True]))
    none = Sample(folder / NAMES[1], np.empty((0, 4), np.float32), np.empty(0, np.int32), np.empty(0, np.bool_))
    return TrainingSet(("face",), (one, none))


@pytest.mark.parametrize("form", [Form.WIDER, Form.VOC, Form.COCO, Form.JSON])
def test_the_product_measures_on_what_is_written(form: Form, pictures: Path, tmp_path: Path) -> None:
    write_set(faces(pictures), tmp_path / "set", form)
    opened = open_dataset(labels_in(tmp_path / "set", form), Target.FACE)
    assert [sample.boxes.tolist() for sample in opened.samples] == [[[1, 2, 11, 22], [30, 5, 40, 15]], []]
    assert opened.samples[0].ignored.tolist() == [False, True]
    assert opened.samples[0].load().shape == (HEIGHT, WIDTH, 3)


def test_keras_retinanet_gets_the_rows_that_it_expects(pictures: Path, tmp_path: Path) -> None:
    left_out = write_set(faces(pictures), tmp_path / "set", Form.CSV)
    assert (tmp_path / "set" / "annotations.csv").read_text() == (
        "images/yard_0001.png,1,2,11,22,face\nimages/yard_0002.jpg,,,,,\n"
    )
    assert (tmp_path / "set" / "classes.csv").read_text() == "face,0\n"
    assert str(left_out) == "1 ignored boxes"


def test_ava_gets_the_rows_that_it_expects(pictures: Path, tmp_path: Path) -> None:
    left_out = write_set(faces(pictures), tmp_path / "set", Form.AVA)
    assert (tmp_path / "set" / "ava.csv").read_text() == "yard,0001,0.015625,0.041667,0.171875,0.458333,1,0\n"
    assert ava.read_label_map(tmp_path / "set" / "label_map.pbtxt") == {1: "face"}
    assert str(left_out) == "1 ignored boxes and 1 pictures without boxes"


@given(st.dictionaries(st.integers(0, 99), st.text("abc /()\"\\'", max_size=12), max_size=5))
@settings(deadline=None)
def test_a_label_map_comes_back(names: dict[int, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.pbtxt"
        ava.write_label_map(path, names)
        assert ava.read_label_map(path) == names


def test_the_label_map_of_avas_first_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.pbtxt"
    path.write_text('label {\n  name: "stand"\n  label_id: 12\n  label_type: PERSON_MOVEMENT\n}\n')
    assert ava.read_label_map(path) == {12: "stand"}


def test_pictures_of_one_name_in_two_folders_stay_two(pictures: Path) -> None:
    names = names_of([pictures / name for name in NAMES])
    assert len(set(names.values())) == len(NAMES)
    assert names[pictures / "door/yard_0001.png"] == "door_yard_0001.png"


def test_joined_sets_share_their_classes_and_one_can_be_chosen(pictures: Path) -> None:
    other = TrainingSet(("person", "face"), faces(pictures).samples)
    both = joined([faces(pictures), other])
    assert both.classes == ("face", "person")
    assert [sample.class_ids.tolist() for sample in both.samples] == [[0, 0, 1, 1], []]
    chosen = both.select(["person"])
    assert [len(sample.boxes) for sample in chosen.samples] == [2, 0]
    with pytest.raises(DatasetError, match="no class 'car'; it has face, person"):
        both.select(["car"])


def test_a_form_of_one_class_refuses_two(pictures: Path, tmp_path: Path) -> None:
    both = joined([faces(pictures), TrainingSet(("person",), faces(pictures).samples[:1])])
    with pytest.raises(DatasetError, match="WIDER FACE carries face, not face and person: choose by --class"):
        write_set(both, tmp_path / "a", Form.WIDER)
    with pytest.raises(DatasetError, match="JSON form carries person or face, not face and person"):
        write_set(both, tmp_path / "b", Form.JSON)


def test_nothing_is_written_over_a_folder_with_files(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(DatasetError, match="has files already"):
        write_set(faces(pictures), tmp_path, Form.COCO)


def test_mot_is_read_only_and_needs_pictures(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mot is read only: choose one of wider, voc"):
        write_set(faces(pictures), tmp_path / "set", Form.MOT)
    (tmp_path / "img1").mkdir()
    shutil.copy(pictures / NAMES[0], tmp_path / "img1" / "000001.png")
    (tmp_path / "gt.txt").write_text("1,7,2,3,10,20,1,-1,-1,-1\n")
    read = read_set(tmp_path)
    assert read.classes == ("person",)
    assert read.samples[0].boxes.tolist() == [[1, 2, 11, 22]]


def test_frames_of_a_clip_are_refused_with_the_command_that_cuts_them(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
    writer.write(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    writer.release()
    (tmp_path / "gt.txt").write_text("1,7,2,3,10,20,1,-1,-1,-1\n")
    with pytest.raises(DatasetError, match="cut them out first, for example by ffmpeg"):
        read_set(tmp_path)


BAD_FILES = [
    ("a.csv", "x.png,1,2,3\n", "a.csv:1: has 4 columns"),
    ("a.csv", "x.png,1,2,3,b,face\n", "a.csv:1: x1,y1,x2,y2 must be numbers"),
    ("a.csv", "x.png,,,,,\ny.png,5,2,3,4,face\n", "a.csv:2: needs x1 < x2"),
    ("a.csv", "x.png,0,0.1,0.4,0.9,face\nx.png,0.5,0.5,1,1,face\n", "all boxes lie within 0 to 1, so they are shares"),
    ("a.csv", "v,0902,0.5,0.1,0.4,0.9,80,1\n", "a.csv:1: not a row of AVA"),
    ("a.csv", "v,0902,0.1,0.1,0.4,1.9,80,1\n", "a.csv:1: not a row of AVA"),
    ("a.csv", "v,0902,0.1,0.1,0.4,0.9,80,1\n", "has no v_0902.jpg: cut the frames out first by dataset from-ava"),
    ("faces.json", "[", "faces.json:1: is not JSON"),
    ("faces.json", '[{"boxes": []}]', "faces.json: 0.file: Field required"),
    ("cats.json", "[]", "call it faces.json or persons.json"),
    ("a.json", '{"images": 1}', "a.json: images: Input should be a valid"),
    ("a.yaml", "", "of no known form"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_FILES)
def test_wrong_labels_are_refused_with_their_place(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError) as caught:
        read_set(tmp_path / name)
    assert message in str(caught.value)


def test_classes_that_the_classes_file_does_not_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x.png,1,2,3,4,dog\n")
    (tmp_path / "classes.csv").write_text("face,0\n")
    with pytest.raises(DatasetError, match=r"uses the class 'dog', which classes.csv does not name"):
        read_set(tmp_path / "a.csv")
    (tmp_path / "classes.csv").write_text("face,0\ndog,2\n")
    with pytest.raises(DatasetError, match="not numbered 0, 1, 2"):
        read_set(tmp_path / "a.csv")


def test_missing_files_and_folders_without_labels_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path / "no.json", tmp_path / "no"):
        with pytest.raises(DatasetError, match=r"cannot be read|is missing"):
            read_set(path)
    with pytest.raises(DatasetError, match=r"has neither .xml nor gt.txt"):
        read_set(tmp_path)
