"""Outlines of people: drawn only from masks that leave no doubt, by a model that must prove itself first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.detect.shape import Rectangle, trace
from anonymizer.detect.silhouette import SilhouetteModel, SilhouetteTest, Silhouettist
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.types import Colour, Planes, Size
from anonymizer.zoo import PICTURES
from tests.fake_runtime import FakeRuntime
from tests.fakes import RecordingMeter, make_planes

CANVAS = Rectangle(0, 0, 96, 96)
PERSON = Rectangle(32, 16, 64, 80)


def mask(inside: np.ndarray, sure: float = 9.0) -> np.ndarray:
    return np.where(inside, sure, -sure).astype(np.float32)


def oval(box: Rectangle = PERSON, sides: tuple[int, int] = (96, 96)) -> np.ndarray:
    y, x = np.indices(sides) + 0.5
    across, down = (box.right - box.left) / 2, (box.bottom - box.top) / 2
    return np.asarray(((x - box.left - across) / across) ** 2 + ((y - box.top - down) / down) ** 2 < 1)


# Masks to outlines


@settings(deadline=None, max_examples=40)
@given(st.floats(24, 40), st.floats(10, 24), st.floats(18, 48), st.floats(40, 60))
def test_an_outline_contains_all_of_the_shape_and_stays_near_it(
    left: float, top: float, width: float, height: float
) -> None:
    box = Rectangle(left, top, left + width, top + height)
    outline = trace(mask(oval(box)), box, CANVAS)
    assert outline is not None
    painted = np.zeros((96, 96), np.uint8)
    cv2.fillPoly(painted, [np.rint(np.array(outline) * 16 - 8).astype(np.int32)], 1, shift=4)
    assert painted[oval(box)].all()
    assert painted.sum() < 2.2 * oval(box).sum()
    assert len(outline) < 80


def with_hole() -> np.ndarray:
    shape = oval()
    shape[44:52, 44:52] = False
    return shape


def test_holes_are_filled() -> None:
    outline = trace(mask(with_hole()), PERSON, CANVAS)
    assert outline is not None
    assert cv2.pointPolygonTest(np.array(outline, np.float32), (48.0, 48.0), measureDist=False) > 0


BESIDE = Rectangle(16, 16, 48, 80)
HALF = oval() & (np.indices((96, 96))[0] < 50)
CRUMBS = np.isin(np.indices((96, 96))[0] // 8 % 2, 0) & oval()


@pytest.mark.parametrize(
    "logits",
    [
        mask(np.zeros((96, 96), bool)),  # nobody
        mask(np.ones((96, 96), bool)),  # everything
        mask(oval(), sure=1.0),  # no pixel is sure
        mask(oval(BESIDE)),  # somebody else
        mask(HALF),  # a part
        mask(CRUMBS),  # pieces
        mask(oval() | (np.indices((96, 96))[0] == 0)),  # goes on beyond the picture
        np.where(np.indices((96, 96))[0] == 90, np.nan, mask(oval())),
    ],
    ids=["nobody", "everything", "unsure", "beside", "part", "pieces", "cut", "nan"],
)
def test_a_mask_that_leaves_doubt_gives_no_outline(logits: np.ndarray) -> None:
    assert trace(logits.astype(np.float32), PERSON, CANVAS) is None


def test_a_box_beyond_the_picture_gives_no_outline() -> None:
    assert trace(mask(oval()), Rectangle(-40, -60, -8, -10), CANVAS) is None


def test_padding_around_the_picture_is_a_border_too() -> None:
    assert trace(mask(oval()), PERSON, Rectangle(32, 0, 96, 96)) is None


# The model

SIDE = 64
MODEL = SilhouetteModel("toy", Path("toy.tflite"), Size(SIDE, SIDE), mean=0.0, scale=1.0)


def answer() -> dict[str, np.ndarray]:
    return {"mask": mask(oval(Rectangle(24, 11, 40, 53), (SIDE, SIDE)))[None, :, :, None]}


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    return FakeRuntime(input_shape=(1, SIDE, SIDE, 3), outputs=answer()).install(monkeypatch)


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


def silhouettist(meter: RecordingMeter, **changes: Any) -> Silhouettist:
    return Silhouettist(replace(MODEL, **changes), threads=1, meter=meter)


def test_an_outline_is_in_pixels_of_the_frame(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    box = (200.0, 100.0, 300.0, 356.0)  # its square: 384 px from 58, 36
    with silhouettist(meter) as model:
        outline = model.outline(make_planes(640, 480), Colour(), box)
    assert outline is not None
    x, y = np.array(outline).T
    assert (x.min(), x.max()) == pytest.approx((58 + 21 * 6, 58 + 43 * 6), abs=9)
    assert (y.min(), y.max()) == pytest.approx((36 + 8 * 6, 36 + 56 * 6), abs=9)
    assert meter.counts["detector_model", "toy", "float32", "litert", "xnnpack"] == 1


@pytest.mark.parametrize("corner", [(270, 0), (270, 224), (0, 112), (540, 112), (270, 112)])
def test_the_person_stands_in_the_middle_also_at_the_frames_edge(
    runtime: FakeRuntime, meter: RecordingMeter, corner: tuple[int, int]
) -> None:
    planes = make_planes(640, 480)
    bright = Planes(np.full_like(planes.y, 16), np.full_like(planes.u, 128), np.full_like(planes.v, 128))
    x, y = corner
    bright.y[y : y + 256, x : x + 100] = 235
    with silhouettist(meter) as model:
        model.outline(bright, Colour(), (x, y, x + 100.0, y + 256.0))
    seen = runtime.seen[-1][0, :, :, 0] > 128
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert abs(rows.mean() - 31.5) <= 1.5
    assert abs(columns.mean() - 31.5) <= 1.5


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"other": np.zeros((1, SIDE, SIDE, 1), np.float32)}, "without the output 'mask'"),
        ({"mask": np.zeros((1, 8, 8, 1), np.float32)}, "shape"),
        ({"mask": np.full((1, SIDE, SIDE, 1), np.nan, np.float32)}, "not finite"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(
    runtime: FakeRuntime, meter: RecordingMeter, outputs: dict[str, np.ndarray], text: str
) -> None:
    with silhouettist(meter) as model:
        runtime.outputs = outputs
        with pytest.raises(ModelError, match=text):
            model.start()


def test_a_mask_that_turns_to_nan_is_refused(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    with silhouettist(meter) as model:
        runtime.outputs = {"mask": np.full((1, SIDE, SIDE, 1), np.nan, np.float32)}
        with pytest.raises(InvalidOutputError, match="not finite"):
            model.outline(make_planes(64, 64), Colour(), (8, 8, 24, 56))


def test_a_file_of_another_size_is_refused(runtime: FakeRuntime, meter: RecordingMeter) -> None:
    with pytest.raises(ModelError, match="the manifest says 32x32"):
        silhouettist(meter, size=Size(32, 32)).start()


@pytest.mark.parametrize(("most", "text"), [(0.9, None), (0.3, "does not draw the person")])
def test_a_model_must_draw_a_portraits_person(
    runtime: FakeRuntime, meter: RecordingMeter, most: float, text: str | None
) -> None:
    test = SilhouetteTest(PICTURES / "astronaut.jpg", (0.3, 0.1, 0.7, 0.9), least=0.1, most=most)
    model = silhouettist(meter, self_test=test)
    if text is None:
        model.start()
    else:
        with pytest.raises(ModelError, match=text):
            model.start()
    model.close()
