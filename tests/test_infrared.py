"""Grey pictures are told from coloured ones, and get the tint of skin for models of faces."""

from __future__ import annotations

import numpy as np
import pytest

from anonymizer.detect.daylight import bring_out
from anonymizer.detect.infrared import SKIN, is_grey, tint
from anonymizer.detect.letterbox import Fit, Letterbox
from anonymizer.types import U8, Size, Target

MODEL = Size(640, 384)
BOX = Letterbox.of(Size(1280, 720), MODEL, Fit.LETTERBOX)  # leaves 24 rows below


def grey(spread: int = 0) -> U8:
    """Noise whose red, green and blue lie up to so many levels apart."""
    rng = np.random.default_rng(0)
    picture = np.zeros((MODEL.height, MODEL.width, 3), np.uint8)
    rows, columns = BOX.inner.height, BOX.inner.width
    picture[:rows] = rng.integers(0, 200, (rows, columns, 1)) + rng.integers(0, spread + 1, (rows, columns, 3))
    return picture


def tinted(picture: U8) -> U8:
    result = picture.copy()
    tint(result, BOX)
    return result


@pytest.mark.parametrize("spread", [0, 8])
def test_a_grey_picture_is_tinted_like_skin_whatever_compression_left_of_colour(spread: int) -> None:
    picture = grey(spread)
    assert is_grey(picture, BOX)
    result = tinted(picture).astype(float).mean(axis=(0, 1)) / picture.mean(axis=(0, 1))
    np.testing.assert_allclose(result, SKIN, rtol=0.02)


def test_a_coloured_picture_is_not_grey() -> None:
    assert not is_grey(grey(60), BOX)


def test_a_coloured_corner_makes_a_picture_a_coloured_one() -> None:
    picture = grey()
    picture[:80, :120, 0] += 50
    assert not is_grey(picture, BOX)


def test_a_coloured_line_of_text_does_not() -> None:
    picture = grey()
    picture[4:10, 10:200, 0] = 255
    assert is_grey(picture, BOX)


@pytest.mark.parametrize(
    ("targets", "spread", "changes"),
    [([Target.FACE], 0, True), ([Target.FACE], 60, False), ([Target.PERSON], 0, False), ([Target.PERSON], 60, False)],
)
def test_only_models_of_faces_alone_see_a_tint_and_only_in_grey_pictures(
    targets: list[Target | None], spread: int, changes: bool
) -> None:
    picture = grey(spread)
    before = picture.copy()
    assert bring_out(picture, BOX, targets) == (spread == 0)
    assert np.array_equal(picture, before) != changes


def test_what_the_picture_does_not_cover_stays_black() -> None:
    assert tinted(grey())[BOX.inner.height :].max() == 0
