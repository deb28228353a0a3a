"""Each effect: what it may show of a region, and what it never does."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.redact.colour import yuv_of
from anonymizer.redact.grid import STEP
from anonymizer.redact.image import decode_picture
from anonymizer.redact.mosaic import REMEMBERED_TRACKS, FrozenCells
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.types import U8, Colour, Effect, Frame, Planes, Reason, RedactionPlan, Region, Shape
from tests.fakes import make_frame, make_planes
from tests.pictures import LOGO, disc, png

Box = tuple[float, float, float, float]
WITHOUT_CONTENT = (Effect.FILL, Effect.NOISE, Effect.IMAGE, Effect.SILHOUETTE)
AVERAGING = (Effect.MOSAIC, Effect.BLUR)
GREY = make_planes(64, 48)
WHOLE = (0.0, 0.0, 64.0, 48.0)


def redact(
    frame: Frame, box: Box, effect: Effect, shape: Shape = Shape.BOX, track: int | None = None, **options: object
) -> Planes:
    region = Region(box, shape, effect, Reason.DETECTION, track_id=track)
    redactor = Redactor(RedactSettings(**{"image": LOGO, **options}))
    return redactor.redact(frame, RedactionPlan(frame.seq, (region,))).planes


def every_plane(planes: Planes) -> tuple[U8, U8, U8]:
    return planes.y, planes.u, planes.v


@st.composite
def boxes_inside(draw: st.DrawFn) -> Box:
    """A box within 160x120, of any size and offset, odd and fractional ones too."""
    width, height = draw(st.floats(1, 100)), draw(st.floats(1, 100))
    x, y = draw(st.floats(0, 160 - width)), draw(st.floats(0, 120 - height))
    return x, y, x + width, y + height


# --- what effects let through -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    boxes_inside(),
    st.sampled_from(WITHOUT_CONTENT),
    st.sampled_from(Shape),
    st.sampled_from(["#000000", "surround"]),
    st.integers(0, 6),
)
def test_an_effect_that_replaces_a_region_shows_the_same_whatever_was_in_it(
    box: Box, effect: Effect, shape: Shape, colour: str, edge: int
) -> None:
    """Two frames that differ in nothing but the region come out the same: there is nothing to attack."""
    one = make_planes(160, 120, seed=1)
    options = {"fill_colour": colour, "soft_edge_px": edge, "image": LOGO}
    black = redact(make_frame(planes=make_planes(160, 120)), box, Effect.FILL, shape).y == 16
    other = [plane.copy() for plane in every_plane(one)]
    other[0][black] = 255 - other[0][black]
    for plane in other[1:]:
        plane[black[::2, ::2]] ^= 0xFF
    redactor = Redactor(RedactSettings(**options))  # of one process: the noise is the same
    plan = RedactionPlan(0, (Region(box, shape, effect, Reason.DETECTION),))
    results = [redactor.redact(make_frame(planes=planes), plan).i420 for planes in (one, Planes(*other))]
    assert (results[0] == results[1]).all()


@settings(deadline=None, max_examples=60)
@given(boxes_inside(), st.sampled_from(AVERAGING), st.floats(0, np.pi), st.floats(0, 2 * np.pi), st.integers(1, 6))
def test_the_energy_of_detail_finer_than_half_a_cell_falls_to_less_than_a_twelfth(
    box: Box, effect: Effect, angle: float, phase: float, cells: int
) -> None:
    """A wave of length p leaves at most p / (pi w) of its amplitude in the mean of a cell of width w, plus rounding."""
    x1, y1, x2, y2 = box
    short, long = sorted((x2 - x1, y2 - y1))
    cell = max(short / cells, long / (2 * cells), 4.0)
    length = cell / 2 / max(abs(np.cos(angle)), abs(np.sin(angle)))  # half a cell along one axis

    def wave(scale: int) -> U8:
        y, x = np.indices((120 // scale, 160 // scale)) * scale
        waves = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / length + phase)
        return np.asarray(np.rint(128 + 120 * waves), np.uint8)

    frame = make_frame(planes=Planes(wave(1), wave(2), wave(2)))
    result = redact(frame, box, effect, mosaic_cells=cells)
    seen = result.y[int(y1) : int(y2), int(x1) : int(x2)].astype(float) - 128
    if seen.size:
        assert np.abs(seen).max() <= 120 * 0.5 + STEP / 2 or min(short, long) < 8
        if min(short, long) >= 24:
            assert (seen**2).mean() <= 120**2 / 2 / 6


@settings(deadline=None, max_examples=40)
@given(boxes_inside(), st.integers(0, 1000))
def test_a_mosaic_shows_sixteen_levels_and_full_white(box: Box, seed: int) -> None:
    frame = make_frame(planes=make_planes(160, 120, seed=seed))
    x1, y1, x2, y2 = (int(side) // 2 * 2 for side in box)
    result = redact(frame, (x1, y1, x2 + 2, y2 + 2), Effect.MOSAIC)
    patch = result.y[y1 : y2 + 2, x1 : x2 + 2]
    assert ((patch % STEP == 0) | (patch == 255)).all()


@pytest.mark.parametrize("effect", AVERAGING)
@pytest.mark.parametrize("level", [17, 100, 133, 250])
def test_means_are_rounded_so_that_small_differences_vanish(effect: Effect, level: int) -> None:
    flat = Planes(*(np.full_like(plane, level) for plane in every_plane(GREY)))
    result = redact(make_frame(planes=flat), WHOLE, effect)
    expected = min((level + STEP // 2) // STEP * STEP, 255)
    assert {int(value) for plane in every_plane(result) for value in np.unique(plane)} == {expected}


@pytest.mark.parametrize("shape", Shape)
def test_a_blur_is_no_finer_in_luma_than_in_chroma(shape: Shape) -> None:
    result = redact(make_frame(planes=make_planes(96, 80, seed=1)), (7, 9, 83, 70), Effect.BLUR, shape)
    inside = redact(make_frame(planes=make_planes(96, 80)), (7, 9, 83, 70), Effect.FILL, shape).y == 16
    coarse = result.y[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)
    assert (result.y == coarse)[inside].all()
    assert inside.any()


# --- fill --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "meant", "levels"),
    [
        ("#000000", Colour(), (16, 128, 128)),
        ("#ffffff", Colour(), (235, 128, 128)),
        ("#ffffff", Colour(full_range=True), (255, 128, 128)),
        ("#FF0000", Colour(bt709=False), (81, 90, 240)),  # the classic BT.601 red
        ("#ff0000", Colour(bt709=True), (63, 102, 240)),
    ],
)
def test_fill_has_the_configured_colour_in_the_terms_of_the_stream(
    colour: str, meant: Colour, levels: tuple[int, int, int]
) -> None:
    frame = Frame("cam", 0, 0, 0, 0, 0, make_planes(64, 48, seed=1), colour=meant)
    result = redact(frame, WHOLE, Effect.FILL, fill_colour=colour)
    assert [np.unique(plane).tolist() for plane in every_plane(result)] == [[level] for level in levels]


def test_colours_convert_as_opencv_does() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    expected = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]].astype(int)
    assert np.abs(yuv_of(rgb, Colour(full_range=True, bt709=False)) - expected).max() <= 1


def test_fill_with_the_surround_takes_the_colour_from_just_outside_the_box() -> None:
    planes = [plane.copy() for plane in every_plane(GREY)]
    for plane, level, scale in zip(planes, (96, 112, 144), (2, 1, 1), strict=True):
        plane[8 * scale : 16 * scale, 10 * scale : 20 * scale] = 3  # the region, and its rim:
        plane[6 * scale : 18 * scale, 8 * scale : 22 * scale][
            plane[6 * scale : 18 * scale, 8 * scale : 22 * scale] != 3
        ] = level
    result = redact(make_frame(planes=Planes(*planes)), (20, 16, 40, 32), Effect.FILL, fill_colour="surround")
    assert (result.y[16:32, 20:40] == 96).all()
    assert (result.u[8:16, 10:20] == 112).all()
    assert (result.v[8:16, 10:20] == 144).all()


def test_fill_without_any_surround_is_black() -> None:
    result = redact(make_frame(planes=make_planes(64, 48, seed=1)), WHOLE, Effect.FILL, fill_colour="surround")
    assert [np.unique(plane).tolist() for plane in every_plane(result)] == [[16], [128], [128]]


# --- mosaic that stands still ------------------------------------------------------------------------------------


def frames(*seeds: int, epoch: int = 0) -> list[Frame]:
    return [make_frame(planes=make_planes(96, 96, seed=seed), epoch=epoch) for seed in seeds]


def mosaics(redactor: Redactor, shown: list[Frame], track: int | None, box: Box = (0, 0, 96, 96)) -> list[U8]:
    region = Region(box, Shape.BOX, Effect.MOSAIC, Reason.TRACK, track_id=track)
    return [redactor.redact(frame, RedactionPlan(0, (region,))).i420 for frame in shown]


def test_the_cells_of_a_track_do_not_change_when_frozen() -> None:
    first, second = mosaics(Redactor(RedactSettings(mosaic_frozen=True)), frames(1, 2), track=7)
    assert (first == second).all()


def test_frozen_cells_follow_the_size_of_their_region() -> None:
    redactor = Redactor(RedactSettings(mosaic_frozen=True))
    (large,), (small,) = mosaics(redactor, frames(1), 7), mosaics(redactor, frames(2), 7, (0, 0, 24, 24))
    assert (small[:24, :24] == large[2:96:4, 2:96:4]).all()


@pytest.mark.parametrize(
    ("frozen", "tracks", "epochs"),
    [
        (False, (7, 7), (0, 0)),  # not asked for
        (True, (None, None), (0, 0)),  # nobody is followed
        (True, (7, 8), (0, 0)),  # somebody else
        (True, (7, 7), (0, 1)),  # track numbers begin anew with the connection
    ],
)
def test_cells_change_with_the_picture_unless_they_are_the_same_tracks(
    frozen: bool, tracks: tuple[int | None, int | None], epochs: tuple[int, int]
) -> None:
    redactor = Redactor(RedactSettings(mosaic_frozen=frozen))
    (first,) = mosaics(redactor, frames(1, epoch=epochs[0]), tracks[0])
    (second,) = mosaics(redactor, frames(2, epoch=epochs[1]), tracks[1])
    assert (first != second).any()


def test_only_so_many_tracks_are_remembered_and_those_in_sight_longest() -> None:
    memory, cells = FrozenCells(), np.zeros((1, 1, 3), np.uint8)
    for track in range(REMEMBERED_TRACKS):
        memory.keep((0, track), cells)
    assert memory.recall((0, 0)) is cells  # in sight
    memory.keep((0, REMEMBERED_TRACKS), cells)
    assert memory.recall((0, 1)) is None
    assert memory.recall((0, 0)) is cells


# --- noise -------------------------------------------------------------------------------------------------------


def test_noise_differs_from_process_to_process_and_stands_still_in_one() -> None:
    frame = make_frame(planes=make_planes(64, 48))
    plan = RedactionPlan(0, (Region(WHOLE, Shape.BOX, Effect.NOISE, Reason.TRACK),))
    one, other = Redactor(RedactSettings()), Redactor(RedactSettings())
    first, again, elsewhere = (each.redact(frame, plan).i420 for each in (one, one, other))
    assert (first == again).all()
    assert (first != elsewhere).mean() > 0.9
    larger = make_frame(planes=make_planes(128, 96))
    assert len(np.unique(one.redact(larger, plan).planes.y[:48, :64])) > 100  # a camera may change its size


# --- image -------------------------------------------------------------------------------------------------------


def test_an_image_lies_on_the_fill_colour_centred_and_whole() -> None:
    result = redact(make_frame(planes=make_planes(96, 48, seed=1)), (0, 0, 96, 48), Effect.IMAGE, fill_colour="#ffffff")
    yellow = yuv_of(np.array([220, 220, 0], np.uint8), Colour())
    assert [int(plane[plane.shape[0] // 2, plane.shape[1] // 2]) for plane in every_plane(result)] == yellow.tolist()
    assert (result.y[:, :20] == 235).all()
    assert (result.y[:, -20:] == 235).all()
    covered = np.abs(result.y.astype(int) - int(yellow[0])) <= 1
    assert abs(covered.sum() - np.pi * 24**2) < 0.1 * np.pi * 24**2


def test_an_image_cut_by_the_edge_of_the_frame_shows_its_other_part() -> None:
    frame = make_frame(planes=make_planes(96, 96, seed=1))
    whole = redact(frame, (0, 0, 96, 96), Effect.IMAGE)
    cut = redact(frame, (-48, 0, 48, 96), Effect.IMAGE)
    assert np.abs(cut.y[:, :48].astype(int) - whole.y[:, 48:]).max() <= 2


@pytest.mark.parametrize("side", [2, 3, 700, 1000])
@pytest.mark.parametrize("box", [(10.0, 10.0, 11.0, 11.0), (3.0, 5.0, 60.0, 21.0)])
def test_an_image_of_any_size_fits_a_region_of_any_size(side: int, box: Box) -> None:
    picture = np.full((side, side, 4), 255, np.uint8)
    result = redact(make_frame(planes=make_planes(64, 48)), box, Effect.IMAGE, image=png(picture))
    x, y = int(box[0] + box[2]) // 2, int(box[1] + box[3]) // 2
    assert result.y[y, x] > 200


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((4, 6), 9, np.uint8), (9, 9, 9, 255)),
        (np.full((4, 6, 3), (1, 2, 3), np.uint8), (1, 2, 3, 255)),
        (np.full((4, 6, 4), (1, 2, 3, 4), np.uint8), (1, 2, 3, 4)),
        (np.full((4, 6, 3), 0x0A0B, np.uint16), (10, 10, 10, 255)),
    ],
)
def test_pictures_of_any_channels_are_read(pixels: np.ndarray, expected: tuple[int, ...]) -> None:
    found = decode_picture(png(pixels))
    assert found.shape == (4, 6, 4)
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no picture"),
        (b"<svg/>", "no picture"),
        (LOGO[:40], "no picture"),
        (png(np.zeros((1, 5000), np.uint8)), "larger than"),
        (bytes(cv2.imencode(".tiff", np.zeros((4, 4), np.float32))[1]), "unusual"),
    ],
)
def test_a_file_that_is_no_sensible_picture_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        decode_picture(data)
    with pytest.raises(ValueError, match=text):
        Redactor(RedactSettings(image=data))


def test_a_file_on_which_the_decoder_gives_up_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object) -> None:
        raise cv2.error("too large")

    monkeypatch.setattr(cv2, "imdecode", give_up)
    with pytest.raises(ValueError, match="no picture"):
        decode_picture(LOGO)


def test_without_a_picture_the_region_is_filled() -> None:
    result = redact(make_frame(planes=make_planes(64, 48, seed=1)), WHOLE, Effect.IMAGE, image=None)
    assert (result.y == 16).all()


# --- soft edges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("effect", "shape"), list(itertools.product(Effect, Shape)))
def test_a_soft_edge_takes_nothing_away_from_the_region(effect: Effect, shape: Shape) -> None:
    fine = ((np.indices((48, 64)).sum(axis=0) % 2) * 255).astype(np.uint8)
    frame = make_frame(planes=Planes(fine, fine[:24, :32], fine[:24, :32]))
    result = redact(frame, (11, 9, 41, 38), effect, shape, soft_edge_px=8)
    painted = redact(make_frame(planes=GREY), (11, 9, 41, 38), Effect.FILL, shape).y == 16
    assert not np.isin(result.y[painted], (0, 255)).any()


def test_a_soft_edge_fades_from_the_effect_to_the_picture() -> None:
    bright = Planes(*(np.full_like(plane, 200) for plane in every_plane(GREY)))
    line = redact(make_frame(planes=bright), (20, 10, 40, 30), Effect.FILL, soft_edge_px=8).y[20].astype(int)
    assert (line[20:40] == 16).all()
    assert (np.diff(line[38:50]) >= 0).all()
    assert set(line[40:48].tolist()) & set(range(17, 200))
    assert (line[48:] == 200).all()


def test_the_picture_for_tests_has_see_through_corners() -> None:
    assert disc()[0, 0, 3] == 0
