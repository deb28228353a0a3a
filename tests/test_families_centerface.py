"""CenterFace heads to boxes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.detect.families import CenterFace, make_family
from anonymizer.detect.nms import nms
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.types import Size, Target

SIZE = Size(640, 384)
GRID = (1, 96, 160)


def heads(faces: Iterable[tuple[float, float, float, float]] = (), score: float = 0.9) -> dict[str, np.ndarray]:
    """The outputs of a model that sees these faces."""
    outputs = {name: np.zeros((*GRID, depth), np.float32) for name, depth in (("heat", 1), ("scale", 2), ("offset", 2))}
    for x1, y1, x2, y2 in faces:
        centre_y, centre_x = (y1 + y2) / 2 / 4, (x1 + x2) / 2 / 4
        row, column = int(centre_y), int(centre_x)
        outputs["heat"][0, row, column] = score
        outputs["scale"][0, row, column] = np.log([(y2 - y1) / 4, (x2 - x1) / 4])
        outputs["offset"][0, row, column] = centre_y - row - 0.5, centre_x - column - 0.5
    return outputs


@pytest.fixture
def family() -> CenterFace:
    return CenterFace(SIZE, (Target.FACE,))


def test_no_face_gives_empty_arrays_of_the_right_shape(family: CenterFace) -> None:
    found = family.decode(heads(), 0.25)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.class_ids.shape == (0,)
    assert [each.dtype.name for each in (found.boxes, found.scores, found.class_ids)] == ["float32", "float32", "int32"]


@given(
    st.tuples(st.floats(1, 639), st.floats(1, 383)),
    st.tuples(st.floats(1, 600), st.floats(1, 380)),
    st.floats(0.3, 1.0),
)
def test_a_face_comes_back_where_it_was_put(
    centre: tuple[float, float], side: tuple[float, float], score: float
) -> None:
    (x, y), (width, height) = centre, side
    face = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    found = CenterFace(SIZE, (Target.FACE,)).decode(heads([face], score), 0.25)
    np.testing.assert_allclose(found.boxes, [face], atol=0.01)
    np.testing.assert_allclose(found.scores, [score], rtol=1e-6)
    assert found.class_ids.tolist() == [Target.FACE]
    assert found.boxes.dtype == np.float32


def test_the_threshold_itself_counts(family: CenterFace) -> None:
    face = [(100, 100, 140, 150)]
    assert len(family.decode(heads(face, 0.25), 0.25).scores) == 1
    assert len(family.decode(heads(face, 0.2499), 0.25).scores) == 0


def test_hundreds_of_faces_in_one_frame_all_come_back(family: CenterFace) -> None:
    faces = [(x, y, x + 10.0, y + 12.0) for x in range(2, 620, 16) for y in range(2, 360, 16)]
    found = family.decode(heads(faces), 0.25)
    stay = nms(found.boxes, found.scores, found.class_ids, iou=0.4, max_detections=1000)
    boxes = found.boxes[stay]
    assert len(faces) == 897
    np.testing.assert_allclose(boxes[np.lexsort(boxes.T[[1, 0]])], np.array(faces, np.float32), atol=0.01)


@pytest.mark.parametrize("name", ["heat", "scale", "offset"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_anything_not_finite_anywhere_fails(family: CenterFace, name: str, bad: float) -> None:
    outputs = heads([(100, 100, 140, 150)])
    outputs[name][0, 50, 70, 0] = bad
    with pytest.raises(InvalidOutputError, match=name):
        family.decode(outputs, 0.25)


@pytest.mark.parametrize("score", [-0.01, 1.01])
def test_impossible_scores_fail(family: CenterFace, score: float) -> None:
    with pytest.raises(InvalidOutputError, match="outside 0-1"):
        family.decode(heads([(100, 100, 140, 150)], score), 0.25)


def test_a_face_of_infinite_size_fails(family: CenterFace) -> None:
    outputs = heads([(100, 100, 140, 150)])
    outputs["scale"][:] = 100
    with pytest.raises(InvalidOutputError, match="NaN or infinite"):
        family.decode(outputs, 0.25)


def test_wrong_shapes_and_missing_outputs_fail(family: CenterFace) -> None:
    outputs = heads()
    with pytest.raises(InvalidOutputError, match=r"'scale' has shape \(1, 96, 160, 1\)"):
        family.decode(outputs | {"scale": outputs["scale"][..., :1]}, 0.25)
    with pytest.raises(InvalidOutputError, match="no output 'heat'; it has none"):
        family.decode({}, 0.25)


def test_a_family_is_found_by_the_name_in_the_manifest() -> None:
    assert isinstance(make_family("centerface", SIZE, (Target.FACE,)), CenterFace)
    with pytest.raises(ModelError, match=r"'yolo'.*known: centerface, .*ssd"):
        make_family("yolo", SIZE, (Target.FACE,))


def test_the_outputs_are_recognised_by_name_and_shape() -> None:
    shapes = {name: values.shape for name, values in heads().items()}
    assert CenterFace.columns(SIZE, shapes) == 1
    assert CenterFace.columns(Size(320, 192), shapes) is None
