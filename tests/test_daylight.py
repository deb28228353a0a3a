"""What lies in the dark is brightened for the models, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from anonymizer.detect.daylight import BRIGHT_LEVEL, MAX_GAIN, brighten, bring_out
from anonymizer.detect.letterbox import Fit, Letterbox
from anonymizer.types import U8, Size, Target

MODEL = Size(640, 384)
BOX = Letterbox.of(Size(1280, 720), MODEL, Fit.LETTERBOX)  # leaves 24 rows below


def noise(least: int, below: int) -> U8:
    picture = np.zeros((MODEL.height, MODEL.width, 3), np.uint8)
    shape = (BOX.inner.height, BOX.inner.width, 3)
    picture[: shape[0]] = np.random.default_rng(0).integers(least, below, shape, dtype=np.uint8)
    return picture


def lifted(picture: U8, box: Letterbox = BOX) -> U8:
    result = picture.copy()
    brighten(result, box)
    return result


def test_a_bright_picture_stays_as_it_is() -> None:
    picture = noise(0, 256)
    assert np.array_equal(lifted(picture), picture)


def test_a_dark_picture_is_lifted_until_its_bright_parts_are_bright() -> None:
    picture = noise(0, 40)
    result = lifted(picture)[: BOX.inner.height]
    assert np.percentile(result, 97) == pytest.approx(BRIGHT_LEVEL, rel=0.1)
    assert np.corrcoef(result.ravel(), picture[: BOX.inner.height].ravel())[0, 1] > 0.99


def test_a_black_picture_is_lifted_no_further_than_noise_allows() -> None:
    picture = noise(0, 3)
    assert lifted(picture).max() <= 2 * MAX_GAIN


def test_only_the_dark_side_is_lifted() -> None:
    picture = noise(0, 256)
    picture[:, : MODEL.width // 2] = noise(0, 30)[:, : MODEL.width // 2]
    result = lifted(picture)
    assert result[: BOX.inner.height, :200].mean() > 3 * picture[: BOX.inner.height, :200].mean()
    assert np.array_equal(result[:, -200:], picture[:, -200:])


def test_black_clothes_and_a_shadow_in_a_bright_picture_are_no_night() -> None:
    picture = noise(0, 256)
    picture[100:160, 100:160] = noise(0, 30)[100:160, 100:160]
    picture[:, 520:] = noise(0, 30)[:, 520:]
    assert np.array_equal(lifted(picture), picture)


@pytest.mark.parametrize("air", [(100, 150), (195, 246)])
def test_haze_is_taken_off_and_what_is_behind_it_gets_its_contrast_back(air: tuple[int, int]) -> None:
    result = lifted(noise(*air))[: BOX.inner.height]
    assert np.percentile(result, 2) < 12
    assert np.percentile(result, 98) > 120


def test_a_covered_lens_shows_nothing_to_bring_out() -> None:
    picture = noise(128, 130)
    assert np.array_equal(lifted(picture), picture)


def test_a_lamp_does_not_keep_its_surroundings_dark() -> None:
    picture = noise(0, 30)
    picture[100:106, 100:106] = 255
    result = lifted(picture)
    assert result[90:120, 90:120].mean() > 3 * noise(0, 30)[90:120, 90:120].mean()
    assert (result[101:105, 101:105] == 255).all()


def test_in_clear_air_nothing_gets_darker() -> None:
    for picture in (noise(0, 256), noise(0, 90), noise(0, 50), noise(0, 10)):
        assert (lifted(picture) >= picture).all()


@pytest.mark.parametrize(("levels", "is_faint"), [((0, 256), False), ((0, 40), True), ((100, 150), True)])
def test_a_dark_or_hazy_picture_is_said_to_be_faint(levels: tuple[int, int], is_faint: bool) -> None:
    assert bring_out(noise(*levels), BOX, [Target.FACE]) is is_faint


def test_who_says_whether_anything_was_changed_says_it_of_all_pictures() -> None:
    for levels in ((0, 256), (0, 90), (0, 50), (0, 10), (100, 150), (128, 130), (195, 246)):
        picture = noise(*levels)
        result = picture.copy()
        assert brighten(result, BOX) is not np.array_equal(result, picture)


def test_what_the_picture_does_not_cover_stays_black() -> None:
    assert lifted(noise(0, 30))[BOX.inner.height :].max() == 0


def test_a_picture_too_small_to_judge_stays_as_it_is() -> None:
    small = np.full((5, 7, 3), 9, np.uint8)
    assert np.array_equal(lifted(small, Letterbox.of(Size(7, 5), Size(7, 5), Fit.STRETCH)), small)
