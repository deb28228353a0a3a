"""The families whose outputs are told apart by shape: what a model says comes back as the boxes that it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.detect.families import FAMILIES, make_family
from anonymizer.detect.families.blazeface import BlazeFace
from anonymizer.detect.families.nanodet import NanoDet
from anonymizer.detect.families.retinanet import RetinaNet, anchors
from anonymizer.detect.families.ssd import Ssd
from anonymizer.detect.families.ssd import anchors as ssd_anchors
from anonymizer.detect.families.tflite_detection_postprocess import TfliteDetectionPostprocess
from anonymizer.errors import InvalidOutputError
from anonymizer.types import Size

Outputs = dict[str, np.ndarray]
Box = tuple[float, float, float, float]
A_BOX: Box = (40.0, 24.0, 72.0, 88.0)


def grid(size: Size, strides: tuple[int, ...], offset: float, repeats: tuple[int, ...] = (1, 1, 1, 1)) -> np.ndarray:
    """x, y and stride of every cell, written down again the slow way."""
    return np.array(
        [
            ((column + offset) * stride, (row + offset) * stride, stride)
            for stride, count in zip(strides, repeats, strict=False)
            for row in range(-(-size.height // stride))
            for column in range(-(-size.width // stride))
            for _ in range(count)
        ]
    )


def blazeface(
    boxes: Mapping[int, Box], score: float, *, input_px: int, strides: tuple[int, ...], repeats: tuple[int, ...]
) -> Outputs:
    cells = grid(Size(input_px, input_px), strides, 0.5, repeats)
    encoded, logits = np.zeros((1, len(cells), 16), np.float32), np.full((1, len(cells), 1), -50, np.float32)
    for index, (x1, y1, x2, y2) in boxes.items():
        encoded[0, index, :4] = (x1 + x2) / 2 - cells[index, 0], (y1 + y2) / 2 - cells[index, 1], x2 - x1, y2 - y1
        logits[0, index] = np.log(score / (1 - score))
    return {"regressors": encoded, "classificators": logits}


def distances(box: Box, cell: np.ndarray, bins: int) -> np.ndarray:
    """Logits whose distributions have these means: two neighbouring bins share the weight."""
    x, y, stride = cell
    wanted = np.array([x - box[0], y - box[1], box[2] - x, box[3] - y]) / stride
    logits = np.full((4, bins), -60.0, np.float32)
    for row, mean in zip(logits, wanted, strict=True):
        low = min(int(mean), bins - 2)
        with np.errstate(divide="ignore"):
            row[low : low + 2] = np.maximum(np.log([low + 1 - mean, mean - low]), -60)
    return logits.reshape(-1)


def nanodet(boxes: Mapping[int, Box], score: float, *, bins: int, classes: int = 3) -> Outputs:
    parts: Outputs = {}
    start = 0
    for stride in (8, 16, 32):
        cells = grid(Size(96, 96), (stride,), 0.5)
        scores, logits = np.zeros((1, len(cells), classes), np.float32), np.zeros((1, len(cells), 4 * bins), np.float32)
        for index, box in boxes.items():
            if start <= index < start + len(cells):
                scores[0, index - start, 0] = score
                logits[0, index - start] = distances(box, cells[index - start], bins)
        parts |= {f"dis_{stride}": logits, f"cls_{stride}": scores}
        start += len(cells)
    return parts


def nanodet_joined(boxes: Mapping[int, Box], score: float, *, strides: tuple[int, ...], offset: float) -> Outputs:
    cells = grid(Size(96, 96), strides, offset)
    values = np.zeros((1, len(cells), 3 + 32), np.float32)
    for index, box in boxes.items():
        values[0, index, 0] = score
        values[0, index, 3:] = distances(box, cells[index], 8)
    return {"output": values}


def yunet(boxes: Mapping[int, Box], score: float) -> Outputs:
    outputs: Outputs = {}
    start = 0
    for stride in (8, 16, 32):
        cells = grid(Size(96, 96), (stride,), 0.0)
        count = len(cells)
        named = {name: np.zeros((1, count, depth), np.float32) for name, depth in YUNET_DEPTHS.items()}
        for index, (x1, y1, x2, y2) in boxes.items():
            if start <= index < start + count:
                x, y, _ = cells[index - start]
                named["bbox"][0, index - start] = (
                    ((x1 + x2) / 2 - x) / stride,
                    ((y1 + y2) / 2 - y) / stride,
                    np.log((x2 - x1) / stride),
                    np.log((y2 - y1) / stride),
                )
                named["cls"][0, index - start] = score**2
                named["obj"][0, index - start] = 1
        outputs |= {f"{name}_{stride}": values for name, values in named.items()}
        start += count
    return outputs


YUNET_DEPTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def retinanet(boxes: Mapping[int, Box], score: float) -> Outputs:
    around = anchors(Size(96, 96))
    encoded, scores = np.zeros((1, len(around), 4), np.float32), np.zeros((1, len(around), 3), np.float32)
    for index, (x1, y1, x2, y2) in boxes.items():
        x, y, width, height = around[index]
        encoded[0, index, :2] = ((x1 + x2) / 2 - x) / width, ((y1 + y2) / 2 - y) / height
        encoded[0, index, 2:] = np.log([(x2 - x1) / width, (y2 - y1) / height])
        scores[0, index, 0] = score
    return {"boxes": encoded, "scores": scores}


def anchorfree(boxes: Mapping[int, Box], score: float, *, strides: tuple[int, ...], classes: int) -> Outputs:
    outputs: Outputs = {}
    start = 0
    for stride in strides:
        cells, side = grid(Size(96, 96), (stride,), 0.5), 96 // stride
        scores, encoded = np.zeros((len(cells), classes), np.float32), np.zeros((len(cells), 4), np.float32)
        for index, (x1, y1, x2, y2) in boxes.items():
            if start <= index < start + len(cells):
                x, y, _ = cells[index - start]
                encoded[index - start, :2] = ((x1 + x2) / 2 - x) / stride, ((y1 + y2) / 2 - y) / stride
                encoded[index - start, 2:] = np.log([(x2 - x1) / stride, (y2 - y1) / stride])
                scores[index - start, 0] = score
        outputs |= {
            f"score_{stride}": scores.reshape(1, side, side, classes),
            f"box_{stride}": encoded.reshape(1, side, side, 4),
        }
        start += len(cells)
    return outputs


def postprocess(boxes: Mapping[int, Box], score: float, *, names: tuple[str, ...]) -> Outputs:
    values = np.zeros((1, 10, 4), np.float32), np.zeros((1, 10), np.float32), np.zeros((1, 10), np.float32)
    for place, (x1, y1, x2, y2) in enumerate(boxes.values()):
        values[0][0, place] = np.array([y1, x1, y2, x2]) / 96
        values[2][0, place] = score
    return dict(zip(names, (*values, np.array([len(boxes)], np.float32)), strict=True))


TF1 = tuple(f"TFLite_Detection_PostProcess{suffix}" for suffix in ("", ":1", ":2", ":3"))
TF2 = tuple(f"StatefulPartitionedCall:{number}" for number in (3, 2, 1, 0))


@dataclass(frozen=True)
class Kind:
    """One form of one family."""

    family: str
    size: Size
    encode: Callable[[Mapping[int, Box], float], Outputs]
    cells: int
    columns: int


def kind(
    family: str, encode: Callable[..., Outputs], *, cells: int, columns: int, side: int = 96, **form: object
) -> Kind:
    return Kind(family, Size(side, side), lambda boxes, score: encode(boxes, score, **form), cells, columns)


KINDS = {
    "blazeface full range": kind(
        "blazeface", blazeface, cells=2304, columns=1, side=192, input_px=192, strides=(4,), repeats=(1,)
    ),
    "blazeface back": kind(
        "blazeface", blazeface, cells=896, columns=1, side=256, input_px=256, strides=(16, 32), repeats=(2, 6)
    ),
    "blazeface short range": kind(
        "blazeface", blazeface, cells=896, columns=1, side=128, input_px=128, strides=(8, 16), repeats=(2, 6)
    ),
    "nanodet, 8 bins": kind("nanodet", nanodet, cells=189, columns=3, bins=8),
    "nanodet, 11 bins": kind("nanodet", nanodet, cells=189, columns=3, bins=11),
    "nanodet, one output": kind("nanodet", nanodet_joined, cells=189, columns=3, strides=(8, 16, 32), offset=0.5),
    "nanodet plus": kind("nanodet", nanodet_joined, cells=193, columns=3, strides=(8, 16, 32, 64), offset=0.0),
    "yunet": kind("yunet", yunet, cells=189, columns=1),
    "anchorfree": kind("anchorfree", anchorfree, cells=189, columns=1, strides=(8, 16, 32), classes=1),
    "anchorfree, four levels": kind("anchorfree", anchorfree, cells=765, columns=2, strides=(4, 8, 16, 32), classes=2),
    "retinanet": kind("retinanet", retinanet, cells=9 * (144 + 36 + 9 + 4 + 1), columns=3),
    "postprocess of TensorFlow 1": kind(
        "tflite_detection_postprocess", postprocess, cells=10, columns=256, names=TF1
    ),
    "postprocess of TensorFlow 2": kind(
        "tflite_detection_postprocess", postprocess, cells=10, columns=256, names=TF2
    ),
}  # fmt: skip
every_kind = pytest.mark.parametrize("form", KINDS.values(), ids=KINDS)


def shapes(outputs: Outputs) -> dict[str, tuple[int, ...]]:
    return {name: values.shape for name, values in outputs.items()}


def cell_of(form: Kind, box: Box) -> int:
    """A cell from which every family can describe the box: inside it, near enough for its distances."""
    if form.family == "nanodet":
        strides, offset = ((8, 16, 32, 64), 0.0) if form.cells == 193 else ((8, 16, 32), 0.5)
        cells = grid(form.size, strides, offset)
        inside = (cells[:, 0] > box[0]) & (cells[:, 0] < box[2]) & (cells[:, 1] > box[1]) & (cells[:, 1] < box[3])
        return int(np.flatnonzero(inside & (cells[:, 2] >= 16))[0])
    return form.cells // 2


@every_kind
def test_nobody_gives_empty_arrays_of_the_right_shape(form: Kind) -> None:
    found = make_family(form.family, form.size, (1,)).decode(form.encode({}, 0.9), 0.3)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.class_ids.shape == (0,)
    assert [each.dtype.name for each in (found.boxes, found.scores, found.class_ids)] == ["float32", "float32", "int32"]


@every_kind
@settings(max_examples=25, deadline=None)
@given(
    corner=st.tuples(st.floats(0, 30), st.floats(0, 30)),
    side=st.tuples(st.floats(34, 60), st.floats(34, 60)),
    score=st.floats(0.35, 0.95),
)
def test_a_box_comes_back_where_it_was_put(
    form: Kind, corner: tuple[float, float], side: tuple[float, float], score: float
) -> None:
    box = (*corner, corner[0] + side[0], corner[1] + side[1])
    found = make_family(form.family, form.size, (1,)).decode(form.encode({cell_of(form, box): box}, score), 0.3)
    np.testing.assert_allclose(found.boxes, [box], atol=0.02)
    np.testing.assert_allclose(found.scores, [score], rtol=1e-5)
    assert found.class_ids.tolist() == [1]
    assert found.boxes.dtype == found.scores.dtype == np.float32


@every_kind
def test_the_family_knows_its_outputs_and_counts_their_classes(form: Kind) -> None:
    recognised = {name: maker.columns(form.size, shapes(form.encode({}, 0.9))) for name, maker in FAMILIES.items()}
    assert {name: count for name, count in recognised.items() if count} == {form.family: form.columns}


@every_kind
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_anything_not_finite_anywhere_fails(form: Kind, bad: float) -> None:
    family = make_family(form.family, form.size, (1,))
    for name in form.encode({}, 0.9):
        outputs = form.encode({cell_of(form, A_BOX): A_BOX}, 0.9)
        if name.startswith("kps"):
            continue  # landmarks are not read
        outputs[name][..., -1] = bad
        with pytest.raises(InvalidOutputError, match=r"NaN|outside 0-1"):
            family.decode(outputs, 0.3)


@every_kind
def test_outputs_of_another_family_fail(form: Kind) -> None:
    family = make_family(form.family, form.size, (1,))
    with pytest.raises(InvalidOutputError, match=f"shapes none: not those of a {form.family} model"):
        family.decode({}, 0.3)
    outputs = form.encode({}, 0.9)
    first = next(iter(outputs))
    with pytest.raises(InvalidOutputError, match="not those of a"):
        family.decode(outputs | {first: outputs[first][:, 1:]}, 0.3)


@every_kind
def test_a_class_that_is_not_looked_for_gives_nothing(form: Kind) -> None:
    outputs = form.encode({cell_of(form, A_BOX): A_BOX}, 0.9)
    assert len(make_family(form.family, form.size, (None,)).decode(outputs, 0.3).scores) == 0


@pytest.mark.parametrize("name", ["nanodet, 8 bins", "nanodet, one output", "yunet", "retinanet", "anchorfree"])
def test_scores_before_the_sigmoid_fail(name: str) -> None:
    form = KINDS[name]
    outputs = form.encode({}, 0.9)
    for values in outputs.values():
        values -= 4
    with pytest.raises(InvalidOutputError, match="outside 0-1"):
        make_family(form.family, form.size, (1,)).decode(outputs, 0.3)


def test_a_model_with_fewer_classes_than_the_manifest_names_fails() -> None:
    with pytest.raises(InvalidOutputError, match="scores 3 classes, the manifest names 4"):
        NanoDet(Size(96, 96), (None, None, None, 1)).decode(nanodet({}, 0.9, bins=8), 0.3)


def test_the_column_of_the_score_names_the_class() -> None:
    outputs = retinanet({7: A_BOX}, 0.9)
    outputs["scores"][0, 7] = 0.1, 0.2, 0.8
    found = RetinaNet(Size(96, 96), (1, None, 0)).decode(outputs, 0.1)
    assert sorted(zip(found.class_ids.tolist(), found.scores.tolist(), strict=True)) == [
        (0, pytest.approx(0.8)),
        (1, pytest.approx(0.1)),
    ]


def test_an_extreme_logit_of_blazeface_does_not_overflow() -> None:
    outputs = blazeface({}, 0.9, input_px=192, strides=(4,), repeats=(1,))
    outputs["classificators"][0, :2, 0] = 3e38, -3e38
    found = BlazeFace(Size(192, 192), (1,)).decode(outputs, 0.3)
    assert found.scores.tolist() == [1.0]


def test_a_face_of_infinite_size_fails() -> None:
    outputs = yunet({0: A_BOX}, 0.9)
    outputs["bbox_8"][:] = 1000
    with pytest.raises(InvalidOutputError, match="NaN or infinite"):
        make_family("yunet", Size(96, 96), (1,)).decode(outputs, 0.3)


def test_a_box_of_infinite_size_fails() -> None:
    outputs = anchorfree({0: A_BOX}, 0.9, strides=(8, 16, 32), classes=1)
    outputs["box_8"][:] = 1000
    with pytest.raises(InvalidOutputError, match="NaN or infinite"):
        make_family("anchorfree", Size(96, 96), (1,)).decode(outputs, 0.3)


def test_a_box_of_retinanet_grows_to_a_limit() -> None:
    outputs = retinanet({0: A_BOX}, 0.9)
    outputs["boxes"][:] = 1000
    found = RetinaNet(Size(96, 96), (1,)).decode(outputs, 0.3)
    width = found.boxes[0, 2] - found.boxes[0, 0]
    assert width == pytest.approx(anchors(Size(96, 96))[0, 2] * 1000 / 16, rel=1e-4)


@pytest.mark.parametrize(
    ("index", "anchor"),
    [
        (0, (0, 0, 46, 22)),  # the first cell lies in the corner: 32, twice as wide as high
        (3, (0, 0, 32, 32)),  # 32, square
        (4, (0, 0, 40, 40)),  # a third of an octave larger
        (9 * 144 + 3, (0, 0, 64, 64)),  # the next grid
        (9 * 145 + 3, (16, 0, 64, 64)),  # its second cell, one stride to the right
    ],
)
def test_anchors_of_retinanet(index: int, anchor: tuple[float, ...]) -> None:
    assert anchors(Size(96, 96))[index].tolist() == list(anchor)


# --- tflite_detection_postprocess -------------------------------------------------------------------------------


def listed(count: float = 1, category: float = 0) -> Outputs:
    outputs = postprocess({0: A_BOX}, 0.9, names=TF1)
    outputs[TF1[1]][0, 0] = category
    outputs[TF1[3]][:] = count
    return outputs


@pytest.fixture
def coral() -> TfliteDetectionPostprocess:
    return TfliteDetectionPostprocess(Size(96, 96), (None, 0))


def test_a_class_number_is_a_column(coral: TfliteDetectionPostprocess) -> None:
    assert coral.decode(listed(category=1), 0.3).class_ids.tolist() == [0]
    for other in (0, 2, 90):  # named as not looked for, or not named
        assert len(coral.decode(listed(category=other), 0.3).scores) == 0


def test_what_lies_beyond_the_count_is_not_there(coral: TfliteDetectionPostprocess) -> None:
    assert len(coral.decode(listed(count=0, category=1), 0.3).scores) == 0


@pytest.mark.parametrize("count", [-1, 11, 0.5])
def test_an_impossible_count_fails(coral: TfliteDetectionPostprocess, count: float) -> None:
    with pytest.raises(InvalidOutputError, match="of at most 10 objects"):
        coral.decode(listed(count=count), 0.3)


@pytest.mark.parametrize("category", [-1, 0.5, 256, 3e38])
def test_an_impossible_class_fails(coral: TfliteDetectionPostprocess, category: float) -> None:
    with pytest.raises(InvalidOutputError, match="no class numbers"):
        coral.decode(listed(category=category), 0.3)


def test_a_full_list_fails_because_somebody_may_be_missing(coral: TfliteDetectionPostprocess) -> None:
    with pytest.raises(InvalidOutputError, match="all it can list"):
        coral.decode(postprocess(dict.fromkeys(range(10), A_BOX), 0.9, names=TF1), 0.3)


def test_scalars_and_other_shapes_are_told_apart() -> None:
    four = {"a": (1, 10, 4), "b:1": (1, 10), "c:2": (1, 10), "d:3": ()}
    assert TfliteDetectionPostprocess.columns(Size(96, 96), four) == 256
    assert TfliteDetectionPostprocess.columns(Size(96, 96), four | {"d:3": (2,)}) is None
    assert TfliteDetectionPostprocess.columns(Size(96, 96), four | {"c:2": ()}) is None


def test_a_model_that_can_list_nothing_fails() -> None:
    nothing = {"a:0": np.zeros((1, 0, 4)), "b:1": np.zeros((1, 0)), "c:2": np.zeros((1, 0)), "d:3": np.zeros(1)}
    outputs = {name: values.astype(np.float32) for name, values in nothing.items()}
    with pytest.raises(InvalidOutputError, match="found 0 objects, all it can list"):
        TfliteDetectionPostprocess(Size(96, 96), (0,)).decode(outputs, 0.3)


def test_a_model_that_scores_no_class_fails() -> None:
    count = len(ssd_anchors(Size(96, 96)))
    outputs = {"boxes": np.zeros((1, count, 4), np.float32), "scores": np.zeros((1, count, 0), np.float32)}
    with pytest.raises(InvalidOutputError, match="the model scores 0 classes, the manifest names 1 of them"):
        Ssd(Size(96, 96), (0,)).decode(outputs, 0.3)
