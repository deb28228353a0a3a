"""The filters behind the tracker."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.track import kalman, motion
from anonymizer.track.kalman import Belief
from anonymizer.types import Target

AGILITY = np.full((1, 4), 30.0)


def started(x: float = 100.0, speed: float = 50.0) -> Belief:
    return kalman.begin(np.array([[x, 100.0, 40.0, 80.0]]), np.full((1, 4), speed))


def test_a_constant_velocity_is_learned() -> None:
    belief = started()
    for step in range(1, 30):
        belief = kalman.predict(belief, 0.04, AGILITY)
        belief = kalman.correct(belief, np.array([[100.0 + 3 * step, 100.0, 40.0, 80.0]]))
    assert belief.velocity[0, 0] == pytest.approx(75, rel=0.05)
    assert kalman.predict(belief, 0.4, AGILITY).value[0, 0] == pytest.approx(187 + 30, abs=2)


def test_certainty_grows_with_measurements_and_shrinks_with_time() -> None:
    first = started()
    later = kalman.predict(first, 0.2, AGILITY)
    corrected = kalman.correct(later, first.value)
    assert (later.value_var > first.value_var).all()
    assert (corrected.value_var < first.value_var).all()


@settings(deadline=None)
@given(st.floats(0.001, 1), st.floats(0.001, 1))
def test_two_short_steps_equal_a_long_one(first_s: float, second_s: float) -> None:
    belief = kalman.correct(kalman.predict(started(), 0.1, AGILITY), np.array([[110.0, 90.0, 41.0, 82.0]]))
    long = kalman.predict(belief, first_s + second_s, AGILITY)
    short = kalman.predict(kalman.predict(belief, first_s, AGILITY), second_s, AGILITY)
    assert np.allclose(long.moments, short.moments)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-0.5, 1), st.floats(-500, 500), st.booleans()), max_size=40))
def test_covariances_stay_positive_definite(steps: list[tuple[float, float, bool]]) -> None:
    belief = started()
    for step_s, x, seen in steps:
        belief = kalman.predict(belief, step_s, AGILITY)
        if seen:
            belief = kalman.correct(belief, np.array([[x, 100.0, 40.0, 80.0]]))
        assert (belief.value_var > 0).all()
        assert (belief.velocity_var > 0).all()
        assert (belief.value_var * belief.velocity_var >= belief.cross_var**2).all()


def test_a_look_back_retraces_the_path_and_is_less_certain() -> None:
    belief = kalman.correct(kalman.predict(started(), 0.1, AGILITY), np.array([[110.0, 100.0, 40.0, 80.0]]))
    back = kalman.predict(belief, -0.1, AGILITY)
    assert back.value[0, 0] < belief.value[0, 0]
    far = kalman.predict(belief, -0.5, AGILITY)
    assert far.value_var[0, 0] > belief.value_var[0, 0]


def test_sides_never_become_smaller_than_a_pixel() -> None:
    belief = kalman.predict(started(), 1.0, AGILITY)
    belief = kalman.correct(belief, np.array([[100.0, 100.0, -500.0, -500.0]]))
    assert (belief.value[:, 2:] == 1).all()


def test_no_boxes_are_fine() -> None:
    nobody = kalman.begin(np.empty((0, 4)), np.empty((0, 4)))
    assert kalman.correct(kalman.predict(nobody, 0.1, np.empty((0, 4))), np.empty((0, 4))).value.shape == (0, 4)


def test_people_and_their_faces_may_go_further_across_the_picture_than_up() -> None:
    boxes = np.array([[100.0, 100.0, 40.0, 120.0]] * 2)
    targets = np.array([Target.PERSON, Target.FACE], np.int32)
    for person, face in (motion.speeds(boxes, targets), motion.agilities(boxes, targets)):
        assert person[1] < person[0] / 2
        assert face[1] < face[0] / 2
