"""SSD heads to boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.detect.families import Ssd
from anonymizer.detect.families.ssd import anchors
from anonymizer.errors import InvalidOutputError
from anonymizer.types import Size, Target

SIZE = Size(300, 300)
COUNT = 1917


def heads(
    boxes: dict[int, tuple[float, float, float, float]], score: float = 0.9, classes: int = 1
) -> dict[str, np.ndarray]:
    """The outputs of a model that puts these boxes on these anchors, with the score in the last class."""
    outputs = {"boxes": np.zeros((1, COUNT, 4), np.float32), "scores": np.zeros((1, COUNT, classes), np.float32)}
    for index, (x1, y1, x2, y2) in boxes.items():
        y, x, height, width = anchors(SIZE)[index]
        outputs["boxes"][0, index] = (
            10 * ((y1 + y2) / 2 - y) / height,
            10 * ((x1 + x2) / 2 - x) / width,
            5 * np.log((y2 - y1) / height),
            5 * np.log((x2 - x1) / width),
        )
        outputs["scores"][0, index, -1] = score
    return outputs


@pytest.fixture
def family() -> Ssd:
    return Ssd(SIZE, (Target.PERSON,))


@pytest.mark.parametrize(
    ("index", "anchor"),
    [
        (0, (7.89, 7.89, 30.0, 30.0)),  # first cell of 19x19: a tenth of the side
        (1, (7.89, 7.89, 42.43, 84.85)),  # 0.2, twice as wide as high
        (2, (7.89, 7.89, 84.85, 42.43)),  # 0.2, twice as high as wide
        (3, (7.89, 23.68, 30.0, 30.0)),  # the next cell lies to the right
        (1083, (15.0, 15.0, 105.0, 105.0)),  # first cell of 10x10: 0.35
        (1087, (15.0, 15.0, 181.87, 60.62)),  # 0.35, three times as high as wide
        (1088, (15.0, 15.0, 125.5, 125.5)),  # between 0.35 and 0.5
        (1916, (150.0, 150.0, 292.4, 292.4)),  # the only cell of the last grid, between 0.95 and 1
    ],
)
def test_anchors_of_a_300_px_input(index: int, anchor: tuple[float, ...]) -> None:
    assert anchors(SIZE).shape == (COUNT, 4)
    np.testing.assert_allclose(anchors(SIZE)[index], anchor, atol=0.01)


def test_nobody_gives_empty_arrays_of_the_right_shape(family: Ssd) -> None:
    found = family.decode(heads({}), 0.3)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.class_ids.shape == (0,)
    assert [each.dtype.name for each in (found.boxes, found.scores, found.class_ids)] == ["float32", "float32", "int32"]


@settings(deadline=None)
@given(
    st.integers(0, COUNT - 1),
    st.tuples(st.floats(-20, 250), st.floats(-20, 250)),
    st.tuples(st.floats(1, 300), st.floats(1, 300)),
)
def test_a_person_comes_back_where_it_was_put(
    index: int, corner: tuple[float, float], side: tuple[float, float]
) -> None:
    person = (*corner, corner[0] + side[0], corner[1] + side[1])
    found = Ssd(SIZE, (Target.PERSON,)).decode(heads({index: person}), 0.3)
    np.testing.assert_allclose(found.boxes, [person], atol=0.01)
    np.testing.assert_allclose(found.scores, [0.9], rtol=1e-6)
    assert found.class_ids.tolist() == [Target.PERSON]
    assert found.boxes.dtype == np.float32


def test_the_column_of_the_score_names_the_class() -> None:
    found = Ssd(SIZE, (Target.PERSON, Target.FACE)).decode(heads({7: (10, 10, 50, 90)}, classes=2), 0.3)
    assert found.class_ids.tolist() == [Target.FACE]


def test_the_threshold_itself_counts(family: Ssd) -> None:
    person = {700: (10.0, 10.0, 50.0, 90.0)}
    assert len(family.decode(heads(person, 0.5), 0.5).scores) == 1
    assert len(family.decode(heads(person, 0.4999), 0.5).scores) == 0


@pytest.mark.parametrize("name", ["boxes", "scores"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_anything_not_finite_anywhere_fails(family: Ssd, name: str, bad: float) -> None:
    outputs = heads({700: (10, 10, 50, 90)})
    outputs[name][0, 3, 0] = bad
    with pytest.raises(InvalidOutputError, match=name):
        family.decode(outputs, 0.3)


def test_a_person_of_infinite_size_fails(family: Ssd) -> None:
    outputs = heads({700: (10, 10, 50, 90)})
    outputs["boxes"][:] = 1000
    with pytest.raises(InvalidOutputError, match="NaN or infinite"):
        family.decode(outputs, 0.3)


def test_a_model_with_fewer_classes_fails() -> None:
    with pytest.raises(InvalidOutputError, match="scores 1 classes, the manifest names 2"):
        Ssd(SIZE, (None, Target.PERSON)).decode(heads({}), 0.3)


def test_classes_that_nobody_looks_for_give_nothing(family: Ssd) -> None:
    assert len(family.decode(heads({7: (10, 10, 50, 90)}, classes=24), 0.3).scores) == 0


def test_a_model_without_scores_or_with_other_anchors_fails(family: Ssd) -> None:
    outputs = heads({})
    with pytest.raises(InvalidOutputError, match="no output 'scores'"):
        family.decode({"boxes": outputs["boxes"]}, 0.3)
    with pytest.raises(InvalidOutputError, match=r"'scores' has shape \(1, 1916, 1\)"):
        family.decode(outputs | {"scores": outputs["scores"][:, 1:]}, 0.3)


def test_the_outputs_are_recognised_and_their_classes_counted() -> None:
    shapes = {name: values.shape for name, values in heads({}, classes=24).items()}
    assert Ssd.columns(SIZE, shapes) == 24
    assert Ssd.columns(SIZE, shapes | {"more": (1,)}) is None
    assert Ssd.columns(SIZE, shapes | {"scores": (1, 5, 24)}) is None
