"""The redactor: what must be masked is, nothing else is, and nothing raw gets out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.redact.grid import STEP
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.types import (
    Colour,
    Effect,
    Planes,
    Reason,
    RedactionPlan,
    Region,
    Shape,
    Size,
)
from tests.fakes import make_frame, make_planes
from tests.pictures import LOGO
from tests.redact_rig import Box, changes, chequered, every_look, is_whole_mosaic, redact, region

NAN, INF = math.nan, math.inf


def blocks_touched(box: Box, size: Size) -> np.ndarray:
    """Reference, chroma pixel by chroma pixel: (H/2, W/2) True where the box reaches into the 2x2 luma block."""
    x1, y1, x2, y2 = box
    touched = np.zeros((size.height // 2, size.width // 2), bool)
    for row, column in itertools.product(*map(range, touched.shape)):
        left, top = 2 * column, 2 * row
        across = (x1 < left + 2 and x2 > left) or (x1 == x2 and left <= x1 < left + 2)
        down = (y1 < top + 2 and y2 > top) or (y1 == y2 and top <= y1 < top + 2)
        touched[row, column] = across and down
    return touched


def rounded_out(box: Box, reach: float) -> Box:
    """A box on the grid of 2x2 blocks, then so many pixels more on each side."""
    x1, y1, x2, y2 = box
    left, top = 2 * math.floor(x1 / 2), 2 * math.floor(y1 / 2)
    right, bottom = max(2 * math.ceil(x2 / 2), left + 2), max(2 * math.ceil(y2 / 2), top + 2)
    return left - reach, top - reach, right + reach, bottom + reach


def pixels_inside(drawn: Region, size: Size) -> np.ndarray:
    """Reference: (H, W) True where the middle of the pixel lies inside the region's outline."""
    x1, y1, x2, y2 = drawn.box
    y, x = np.indices((size.height, size.width)) + 0.5
    if drawn.shape is Shape.BOX:
        return np.asarray((x > x1) & (x < x2) & (y > y1) & (y < y2))
    across, down = max((x2 - x1) / 2, 1e-9), max((y2 - y1) / 2, 1e-9)
    return np.asarray(((x - (x1 + x2) / 2) / across) ** 2 + ((y - (y1 + y2) / 2) / down) ** 2 < 1)


def doubled(chroma: np.ndarray) -> np.ndarray:
    return chroma.repeat(2, axis=0).repeat(2, axis=1)


sides = st.integers(1, 40).map(lambda half: 2 * half)
coordinates = st.one_of(st.integers(-60, 140).map(float), st.floats(-60, 140, width=32))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x1, x2 = sorted((draw(coordinates), draw(coordinates)))
    y1, y2 = sorted((draw(coordinates), draw(coordinates)))
    return x1, y1, x2, y2


regions = st.builds(region, boxes(), st.sampled_from(Effect), st.sampled_from(Shape))
HALF_STEP = STEP // 2
some_regions = st.lists(regions, min_size=1, max_size=5)


@settings(deadline=None)
@given(sides, sides, some_regions, st.integers(0, 9))
def test_no_pixel_outside_the_regions_and_their_soft_edges_changes(
    width: int, height: int, drawn: list[Region], edge: int
) -> None:
    frame = make_frame(planes=make_planes(width, height, seed=7))
    reach = (edge + 1) // 2 * 2  # whole chroma pixels
    touched = [blocks_touched(rounded_out(item.box, reach), frame.size) for item in drawn]
    outside = ~np.any(touched, axis=0)
    result = redact(frame, *drawn, soft_edge_px=edge, image=LOGO).planes
    assert (result.y == frame.planes.y)[doubled(outside)].all()
    assert (result.u == frame.planes.u)[outside].all()
    assert (result.v == frame.planes.v)[outside].all()


@settings(deadline=None)
@given(sides, sides, some_regions)
def test_no_pixel_inside_a_region_keeps_fine_detail_wherever_and_however_regions_overlap(
    width: int, height: int, drawn: list[Region]
) -> None:
    frame = chequered(width, height)
    result = redact(frame, *drawn, image=LOGO).planes
    for item in drawn:
        inside = pixels_inside(item, frame.size)
        assert not np.isin(result.y[inside], (0, 255)).any()
        if {each.effect for each in drawn} <= {Effect.MOSAIC, Effect.BLUR}:
            assert (np.abs(result.y[inside].astype(int) - 127) <= HALF_STEP + 1).all()


@settings(deadline=None)
@given(sides, sides, regions)
def test_chroma_is_masked_wherever_luma_is(width: int, height: int, drawn: Region) -> None:
    planes = make_planes(width, height)  # grey 128; the fill below tells every touched pixel
    planes = Planes(planes.y, np.full_like(planes.u, 7), np.full_like(planes.v, 9))
    result = redact(make_frame(planes=planes), region(drawn.box, Effect.FILL, drawn.shape)).planes
    masked = result.u == 128
    assert ((result.y == 16) == doubled(masked)).all()
    assert ((result.v == 128) == masked).all()
    assert (doubled(masked) >= pixels_inside(drawn, result.size)).all()


@settings(deadline=None)
@given(st.integers(4, 60), st.integers(4, 60), st.integers(1, 6), st.sampled_from([Effect.MOSAIC, Effect.BLUR]))
def test_a_region_keeps_at_most_the_configured_cells_across_its_shorter_side(
    half_width: int, half_height: int, cells: int, effect: Effect
) -> None:
    width, height = 2 * half_width, 2 * half_height
    frame = make_frame(planes=make_planes(width, height, seed=3))
    mosaic = redact(frame, region((0, 0, width, height)), mosaic_cells=cells).planes
    for plane in (mosaic.y, mosaic.u, mosaic.v):
        short, long = sorted((changes(plane, 0), changes(plane, 1)))
        assert short + 1 <= cells
        assert long + 1 <= 2 * cells


@settings(deadline=None)
@given(st.integers(12, 60))
def test_blur_is_smoother_than_its_cells_are_apart(half_side: int) -> None:
    side = 2 * half_side
    frame = make_frame(planes=make_planes(side, side, seed=5))
    blurred = redact(frame, region((0, 0, side, side), Effect.BLUR)).planes.y.astype(int)
    steepest = (255 + STEP) / (side / 6)
    assert np.abs(np.diff(blurred, axis=0)).max() <= steepest + 1
    assert np.abs(np.diff(blurred, axis=1)).max() <= steepest + 1


def test_a_mosaic_cell_shows_the_rounded_mean_of_its_pixels() -> None:
    frame = make_frame(planes=make_planes(48, 48, seed=1))
    result = redact(frame, region((0, 0, 48, 48)))
    mean = frame.planes.y[8:16, 40:48].mean()
    assert (np.abs(result.planes.y[8:16, 40:48] - mean) <= HALF_STEP + 0.5).all()


def test_a_face_cut_by_the_edge_is_no_sharper_than_the_whole_face() -> None:
    frame = make_frame(planes=make_planes(160, 160, seed=2))
    cut = redact(frame, region((-80, 20, 20, 140))).planes.y[20:140, :20]
    assert changes(cut, 0) + 1 <= 7
    assert changes(cut, 1) == 0


def test_a_strip_is_not_sampled_finely_along_its_length() -> None:
    frame = make_frame(planes=make_planes(160, 160, seed=2))
    strip = redact(frame, region((0, 20, 12, 140))).planes.y[20:140, :12]
    assert changes(strip, 0) + 1 <= 12


@pytest.mark.parametrize("order", [1, -1], ids=["fill listed first", "fill listed last"])
def test_the_stronger_effect_wins_where_regions_overlap(order: int) -> None:
    frame = make_frame(planes=make_planes(64, 48, seed=4))
    drawn = [region((10, 10, 40, 40), Effect.FILL), region((20, 0, 64, 48), Effect.BLUR)][::order]
    assert (redact(frame, *drawn).planes.y[10:40, 10:40] == 16).all()


def test_an_ellipse_leaves_the_corners_of_its_box() -> None:
    frame = make_frame(planes=make_planes(64, 48, seed=4))
    result = redact(frame, region((0, 0, 64, 48), Effect.FILL, Shape.ELLIPSE)).planes.y
    assert (result[0, 0], result[-1, -1]) == (frame.planes.y[0, 0], frame.planes.y[-1, -1])
    assert (result[24] == 16).all()


@every_look
def test_a_box_of_one_pixel_is_masked(effect: Effect, shape: Shape) -> None:
    frame = chequered(16, 16)
    result = redact(frame, region((5, 7, 6, 8), effect, shape))
    assert len(np.unique(result.planes.y[6:8, 4:6])) == 1
    assert len(result.regions) == 1


@every_look
def test_a_box_without_extent_still_masks_the_block_it_lies_in(effect: Effect, shape: Shape) -> None:
    result = redact(chequered(16, 16), region((5, 7, 5, 7), effect, shape))
    assert len(np.unique(result.planes.y[6:8, 4:6])) == 1


@every_look
def test_a_region_larger_than_the_frame_masks_all_of_it(effect: Effect, shape: Shape) -> None:
    result = redact(chequered(64, 48), region((-1e6, -1e6, 1e6, 1e6), effect, shape), image=LOGO)
    assert result.whole_frame is None
    assert not np.isin(result.planes.y, (0, 255)).any()


@pytest.mark.parametrize(
    "box",
    [
        (-30, 5, 0, 20),  # ends where the frame begins
        (64, 5, 90, 20),  # begins where the frame ends
        (5, -30, 20, -1),  # above
        (5, 48, 20, 90),  # below
        (64, 48, 64, 48),  # a detection that clipping left no area, in the corner
    ],
)
def test_a_region_outside_the_frame_changes_nothing_and_is_not_counted(box: Box) -> None:
    frame = make_frame(planes=make_planes(64, 48, seed=1))
    result = redact(frame, region(box))
    assert (result.planes.y == frame.planes.y).all()
    assert (result.regions, result.whole_frame) == ((), None)


def test_a_plan_for_another_frame_masks_the_whole_frame() -> None:
    frame = make_frame(5, planes=make_planes(96, 96, seed=1))
    result = Redactor(RedactSettings()).redact(frame, RedactionPlan(4))
    assert result.whole_frame is Reason.POLICY_FAILED
    assert is_whole_mosaic(result)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_whole_frame_plan_leaves_a_mosaic_whatever_its_regions(reason: Reason) -> None:
    frame = make_frame(planes=make_planes(192, 108, seed=1))
    plan = RedactionPlan(0, (region((0, 0, 4, 4)),), whole_frame=reason)
    result = Redactor(RedactSettings()).redact(frame, plan)
    assert (result.whole_frame, result.regions) == (reason, ())
    assert is_whole_mosaic(result)


@settings(max_examples=30, deadline=None)
@given(sides, sides)
def test_a_whole_frame_mask_keeps_no_fine_detail_at_any_size(width: int, height: int) -> None:
    frame = chequered(width, height)
    result = Redactor(RedactSettings()).redact(frame, RedactionPlan(0, whole_frame=Reason.STALE))
    assert (np.abs(result.planes.y.astype(int) - 127) <= HALF_STEP + 1).all()


def test_a_cell_size_that_opencv_resizes_slowly_is_rounded_up() -> None:
    """1 / (1 / 49) is not 49 in floating point, so OpenCV would leave its fast path for whole factors."""
    frame = make_frame(planes=make_planes(600, 600, seed=1))
    result = redact(frame, region((0, 0, 588, 588))).planes.y
    assert max(changes(result[:588, :588], 0), changes(result[:588, :588], 1)) <= 4


def test_large_cells_are_averaged_over_sampled_rows_without_a_visible_difference() -> None:
    ramp = np.linspace(0, 255, 1080 * 1920).reshape(1080, 1920).astype(np.uint8)
    planes = Planes(ramp, ramp[::2, ::2], ramp[::2, ::2])
    plan = RedactionPlan(0, whole_frame=Reason.STALE)
    result = Redactor(RedactSettings()).redact(make_frame(planes=planes), plan)
    for row in range(6):
        cell = np.s_[row * 180 : (row + 1) * 180, 60:240]
        assert np.abs(result.planes.y[cell] - ramp[cell].mean()).max() <= 3 + HALF_STEP


@pytest.mark.parametrize("whole", [None, Reason.STALE])
def test_the_result_is_read_only_and_shares_no_memory_with_the_frame(whole: Reason | None) -> None:
    frame = make_frame(planes=make_planes(seed=1))
    before = [plane.copy() for plane in (frame.planes.y, frame.planes.u, frame.planes.v)]
    plan = RedactionPlan(0, (region((0, 0, 64, 48)),), whole)
    result = Redactor(RedactSettings()).redact(frame, plan)
    assert not result.i420.flags.writeable
    assert result.i420.flags.c_contiguous
    for plane, old in zip((frame.planes.y, frame.planes.u, frame.planes.v), before, strict=True):
        assert not np.shares_memory(result.i420, plane)
        assert (plane == old).all()
    with pytest.raises(ValueError, match="read-only"):
        result.planes.y[0, 0] = 0


def test_two_results_share_no_memory() -> None:
    redactor, frame = Redactor(RedactSettings()), make_frame()
    first, second = (redactor.redact(frame, RedactionPlan(0)) for _ in range(2))
    assert not np.shares_memory(first.i420, second.i420)


def test_padded_rows_of_a_decoder_are_left_behind() -> None:
    padded = make_planes(128, 96, seed=6)
    planes = Planes(padded.y[:48, :64], padded.u[:24, :32], padded.v[:24, :32])
    result = redact(make_frame(planes=planes))
    assert result.i420.shape == (72, 64)
    assert (result.planes.y == planes.y).all()
    assert (result.planes.v == planes.v).all()


def test_identity_and_times_of_the_frame_are_kept() -> None:
    frame = make_frame(9, camera_id="door", pts_ns=1, captured_ns=2)
    result = redact(frame)
    assert (result.camera_id, result.seq, result.pts_ns, result.captured_ns, result.wall_ns) == (
        "door",
        9,
        1,
        2,
        frame.wall_ns,
    )
    assert result.colour == Colour()
    assert result.size == frame.size


@pytest.mark.parametrize(
    "planes",
    [
        Planes(*(np.zeros(shape, np.uint8) for shape in [(48, 64), (24, 32), (24, 31)])),  # V too narrow
        Planes(*(np.zeros(shape, np.uint8) for shape in [(48, 64), (48, 64), (48, 64)])),  # 4:4:4
        Planes(*(np.zeros(shape, np.uint8) for shape in [(47, 64), (23, 32), (23, 32)])),  # odd height
        Planes(*(np.zeros(shape, np.uint8) for shape in [(48, 63), (24, 31), (24, 31)])),  # odd width
        Planes(*(np.zeros(shape, np.uint8) for shape in [(0, 64), (0, 32), (0, 32)])),  # empty
    ],
)
@pytest.mark.parametrize("whole", [None, Reason.STALE])
def test_planes_that_are_no_even_420_picture_are_refused(planes: Planes, whole: Reason | None) -> None:
    with pytest.raises(ValueError, match="4:2:0"):
        Redactor(RedactSettings()).redact(make_frame(planes=planes), RedactionPlan(0, (), whole))
