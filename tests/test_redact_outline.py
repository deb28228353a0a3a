"""Polygons are painted: every pixel inside, and none far outside."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.polygon import contains
from anonymizer.redact.area import make_area
from anonymizer.redact.outline import polygon_stencil, stencil_of
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.types import Effect, Planes, Reason, RedactionPlan, Region, Shape, Size
from tests.fakes import make_frame, make_planes

SIZE = Size(64, 48)
ELL = ((4.0, 4.0), (60.0, 4.0), (60.0, 14.0), (20.0, 14.0), (20.0, 44.0), (4.0, 44.0))


def zone(outline: tuple[tuple[float, float], ...], effect: Effect = Effect.FILL) -> Region:
    across, down = zip(*outline, strict=True)
    box = (min(across), min(down), max(across), max(down))
    return Region(box, Shape.BOX, effect, Reason.ZONE, outline=outline)


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("soft_edge_px", [0, 6])
def test_a_polygon_is_masked_and_its_notch_is_not(effect: Effect, soft_edge_px: int) -> None:
    frame = make_frame(planes=make_planes(64, 48, seed=3))
    redactor = Redactor(RedactSettings(soft_edge_px=soft_edge_px))
    redacted = redactor.redact(frame, RedactionPlan(0, (zone(ELL, effect),)))
    same = redacted.planes.y == frame.planes.y
    assert same[:, 4:60][4:14].mean() < 0.1
    assert same[4:44, 4:20].mean() < 0.1
    assert same[32:, 38:].all()
    assert not same[14:, 4:20].all()


def test_a_region_without_a_polygon_is_all_of_its_box_or_ellipse() -> None:
    area = make_area((4, 4, 20, 20), SIZE)
    assert area is not None
    box = Region((4, 4, 20, 20), Shape.BOX, Effect.FILL, Reason.DETECTION)
    assert stencil_of(box, area) is None
    ellipse = stencil_of(Region(box.box, Shape.ELLIPSE, Effect.FILL, Reason.DETECTION), area)
    assert ellipse is not None
    assert 0 < ellipse.mean() < 1


corners = st.tuples(st.floats(-10, 70), st.floats(-10, 60))


@settings(deadline=None, max_examples=60)
@given(st.lists(corners, min_size=3, max_size=6, unique=True).map(tuple))
def test_every_point_of_a_polygon_lies_in_its_stencil(outline: tuple[tuple[float, float], ...]) -> None:
    area = make_area(zone(outline).box, SIZE)
    if area is None:
        return
    stencil = polygon_stencil(outline, area)
    rng = np.random.default_rng(1)
    for x, y in rng.uniform((2 * area.x1, 2 * area.y1), (2 * area.x2, 2 * area.y2), (100, 2)).tolist():
        if contains(outline, (x, y)):
            assert stencil[int(y / 2) - area.y1, int(x / 2) - area.x1]


@settings(deadline=None, max_examples=40)
@given(st.lists(corners, min_size=3, max_size=6, unique=True).map(tuple), st.integers(0, 6))
def test_a_silhouette_shows_the_same_whatever_was_in_it_and_changes_nothing_else(
    outline: tuple[tuple[float, float], ...], edge: int
) -> None:
    region = zone(outline, Effect.SILHOUETTE)
    area = make_area(region.box, SIZE)
    if area is None:
        return
    within = np.zeros((24, 32), bool)
    within[area.y1 : area.y2, area.x1 : area.x2] = polygon_stencil(outline, area) != 0
    one = make_planes(64, 48, seed=5)
    other = Planes(*(plane.copy() for plane in (one.y, one.u, one.v)))
    for plane, inside in ((other.y, within.repeat(2, axis=0).repeat(2, axis=1)), (other.u, within), (other.v, within)):
        plane[inside] ^= 0xFF
    redactor = Redactor(RedactSettings(soft_edge_px=edge))
    plan = RedactionPlan(0, (region,))
    results = [redactor.redact(make_frame(planes=planes), plan) for planes in (one, other)]
    assert (results[0].i420 == results[1].i420).all()
    reach = 2 * ((edge + 1) // 2) + 1  # chroma pixels, both sides and the middle
    near = cv2.dilate(within.astype(np.uint8), np.ones((reach, reach), np.uint8)) != 0
    assert (results[0].planes.u == one.u)[~near].all()
    assert (results[0].planes.y == one.y)[~near.repeat(2, axis=0).repeat(2, axis=1)].all()
