"""Grey pictures get the tint of skin, coloured ones none."""

from __future__ import annotations

import numpy as np

from anonymizer.detect.infrared import SKIN, tint
from anonymizer.detect.letterbox import Fit, Letterbox
from anonymizer.types import U8, Size

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


def test_a_grey_picture_is_tinted_like_skin_whatever_compression_left_of_colour() -> None:
    for picture in (grey(), grey(8)):
        result = tinted(picture).astype(float).mean(axis=(0, 1)) / picture.mean(axis=(0, 1))
        np.testing.assert_allclose(result, SKIN, rtol=0.02)


def test_a_coloured_picture_stays_as_it_is() -> None:
    picture = grey(60)
    assert np.array_equal(tinted(picture), picture)


def test_a_coloured_corner_makes_a_picture_a_coloured_one() -> None:
    picture = grey()
    picture[:80, :120, 0] += 50
    assert np.array_equal(tinted(picture), picture)


def test_a_coloured_line_of_text_does_not() -> None:
    picture = grey()
    picture[4:10, 10:200, 0] = 255
    assert not np.array_equal(tinted(picture), picture)


def test_what_the_picture_does_not_cover_stays_black() -> None:
    assert tinted(grey())[BOX.inner.height :].max() == 0
