"""Rules of the bench that shows people close to the camera."""

from __future__ import annotations

import numpy as np
import pytest

from anonymizer.policy import Policy
from anonymizer.settings.schema import PrivacySettings, RedactSettings
from anonymizer.types import U8, Target
from scripts.bench.near import SEEN_SHARE, SIZE, close_up, is_bare, only
from tests.fakes import make_detections

HEIGHTS = (0.55, 1.1)
FACE = np.array([300.0, 200.0, 420.0, 350.0], np.float32)
POLICY = Policy(PrivacySettings(), RedactSettings())


def photograph() -> U8:
    """White where the face is, black around it."""
    picture = np.zeros((600, 800, 3), np.uint8)
    picture[200:350, 300:420] = 255
    return picture


def test_a_close_up_shows_the_face_where_its_box_says_and_enough_of_it() -> None:
    made = [close_up(photograph(), FACE, HEIGHTS, np.random.default_rng(seed)) for seed in range(40)]
    shown = [each for each in made if each is not None]
    assert shown
    for picture, box in shown:
        x1, y1, x2, y2 = box.tolist()
        assert picture.shape == (SIZE.height, SIZE.width, 3)
        assert 0 <= x1 < x2 <= SIZE.width
        assert 0 <= y1 < y2 <= SIZE.height
        whole_px = 120 * 150 * (HEIGHTS[0] * SIZE.height / 150) ** 2
        assert (x2 - x1) * (y2 - y1) >= SEEN_SHARE * whole_px
        assert picture[(int(y1) + int(y2)) // 2, (int(x1) + int(x2)) // 2, 0] > 200
        assert picture[int(y1) : int(y2), int(x1) : int(x2), 0].sum() > 0.9 * picture[:, :, 0].sum()


def test_of_whom_too_little_would_be_seen_there_is_no_close_up() -> None:
    wide = np.array([0.0, 200.0, 800.0, 350.0], np.float32)
    made = [close_up(photograph(), wide, HEIGHTS, np.random.default_rng(seed)) for seed in range(40)]
    assert None in made


@pytest.mark.parametrize(
    ("found", "covered", "expected"),
    [
        ([(100, 100, 500, 600)], 0.9, False),
        ([(100, 100, 500, 300)], 0.9, True),
        ([(100, 100, 500, 300)], 0.3, False),
        ([], 0.3, True),
    ],
)
def test_somebody_is_bare_when_masks_cover_less_than_is_asked(
    found: list[tuple[float, float, float, float]], covered: float, expected: bool
) -> None:
    face = np.array([100.0, 100.0, 500.0, 600.0], np.float32)
    detections = make_detections(*found, target=Target.FACE)
    assert is_bare(POLICY, detections, face, covered) is expected
    assert is_bare(POLICY, only(detections, Target.PERSON), face, covered)
