"""The scout: the right tiles for each camera, and plain words about what they cost."""

from __future__ import annotations

import contextlib
import logging

import numpy as np
import pytest

from anonymizer.app import Daemon
from anonymizer.clock import SystemClock
from anonymizer.detect.letterbox import Fit
from anonymizer.detect.reach import Eye
from anonymizer.detect.scout import Reach, Scout
from anonymizer.detectors import face_eye, make_detector, reaches_of, track_of
from anonymizer.errors import ModelError
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.observe.sd_notify import ServiceNotifier
from anonymizer.pipeline.assembly import longest_rest_ms
from anonymizer.settings.schema import CameraSettings, DetectSettings, PrivacySettings, Settings, TargetName
from anonymizer.studio import RehearsalStudio
from anonymizer.types import Frame, Heat, Size, Target
from anonymizer.zoo import Zoo
from tests.fakes import RecordingMeter, make_frame, make_planes

EYE = Eye(Size(192, 192), Fit.LETTERBOX, 16)
MS = 1_000_000


def frame_of(width: int = 640, height: int = 360, *, camera_id: str = "yard") -> Frame:
    return make_frame(camera_id=camera_id, planes=make_planes(width, height))


def scout(*, budget_ms: int | None = None, reach_px: int = 16, age_ms: int = 400, hold_ms: int = 1000) -> Scout:
    return Scout(EYE, {"yard": Reach(reach_px, age_ms, hold_ms)}, budget_ms=budget_ms)


def test_a_camera_without_reach_has_no_tiles() -> None:
    assert scout().tiles(frame_of(camera_id="door"), MS) == []


def test_without_a_budget_every_frame_has_all_tiles() -> None:
    far = scout()
    for _ in range(2):
        assert len(far.tiles(frame_of(), 2 * MS)) == 15


@pytest.mark.parametrize(
    ("budget_ms", "inference_ms", "tiles"),
    [
        (100, 20, 4),  # and the whole frame
        (100, 33, 2),
        (100, 60, 1),  # one tile always
        (100, 500, 1),
        (1000, 2, 15),  # time for all
        (100, 0, 15),  # not measured yet
        (None, 1000, 4),  # no budget: five seconds, so that the watchdog does not end it
    ],
)
def test_a_budget_bounds_the_tiles_of_a_frame(budget_ms: int | None, inference_ms: int, tiles: int) -> None:
    assert len(scout(budget_ms=budget_ms).tiles(frame_of(), inference_ms * MS)) == tiles


def test_tiles_take_turns_and_one_with_a_face_comes_again() -> None:
    far = scout(budget_ms=40)
    (first,) = far.tiles(frame_of(), 20 * MS)
    far.found("yard", first, something=True)
    (second,) = far.tiles(frame_of(), 20 * MS)
    assert second != first
    assert far.tiles(frame_of(), 20 * MS) == [first]


def test_attention_is_heeded_in_the_next_frame_alone() -> None:
    far = scout(budget_ms=40)
    plan = [tile for _ in range(30) for tile in far.tiles(frame_of(), 20 * MS)]
    cells = np.zeros((9, 16), np.float32)
    cells[-1, -1] = 1.0
    far.set_heat("door", Heat(cells, 1.0))  # without reach: nothing to share out
    far.set_heat("yard", Heat(cells, 1.0))
    (hot,) = far.tiles(frame_of(), 20 * MS)
    assert hot == max(plan, key=lambda tile: (tile.y, tile.x))
    assert hot not in [far.tiles(frame_of(), 20 * MS)[0] for _ in range(10)]


def test_each_camera_has_turns_of_its_own() -> None:
    reach = Reach(16, 400, 1000)
    far = Scout(EYE, {"yard": reach, "door": reach}, budget_ms=40)
    assert far.tiles(frame_of(), 20 * MS) == far.tiles(frame_of(camera_id="door"), 20 * MS)


def test_another_resolution_gets_another_plan() -> None:
    far = scout()
    before = far.tiles(frame_of(), MS)
    after = far.tiles(frame_of(320, 180), MS)
    assert before != after
    assert all(tile.x + tile.size.width <= 320 for tile in after)


def test_the_cost_is_logged_once_for_each_resolution(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    far = scout()
    for _ in range(2):
        far.tiles(frame_of(), 10 * MS)
    assert caplog.messages == [
        "camera yard: 640x360: 15 tiles of 192x192 and the whole picture, 16 inferences, faces from 16 px; "
        "about 160 ms a frame, tiled cameras: 1, frames until every tile had its turn: 1"
    ]


def test_a_reach_that_takes_too_many_tiles_is_said(caplog: pytest.LogCaptureFixture) -> None:
    scout(reach_px=6).tiles(frame_of(1280, 720), 0)
    (message,) = caplog.messages
    assert message.startswith("camera yard: faces from 6 px take too many tiles, only those from 19 px are found")


def test_detection_that_takes_too_long_is_said_with_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    scout(age_ms=300).tiles(frame_of(), 20 * MS)
    (message,) = caplog.messages
    assert "detection takes 320 ms, longer than max_detection_age_ms (300)" in message


@pytest.mark.parametrize(("hold_ms", "warned"), [(800, False), (799, True)])
def test_a_hold_time_shorter_than_two_rounds_is_said_with_the_number(
    caplog: pytest.LogCaptureFixture, hold_ms: int, *, warned: bool
) -> None:
    """Thirty turns until a tile is sure to be looked at again, nine in each frame of 100 ms: 400 ms."""
    scout(budget_ms=100, hold_ms=hold_ms).tiles(frame_of(), 10 * MS - 1)
    messages = [message for message in caplog.messages if "hold_ms" in message]
    assert bool(messages) == warned
    if warned:
        assert "raise hold_ms to 800" in messages[0]


# --- from the settings ------------------------------------------------------------------------------------------


def test_a_camera_may_reach_further_than_the_site_and_none_may_reach_at_all() -> None:
    yard = CameraSettings(id="yard", url="demo://", reach_px=16, privacy=PrivacySettings(hold_ms=3000))
    door = CameraSettings(id="door", url="demo://")
    assert reaches_of(Settings(cameras=(yard, door))) == {"yard": Reach(16, 400, 3000)}
    site = Settings(cameras=(yard, door), detect=DetectSettings(reach_px=30))
    assert reaches_of(site) == {"yard": Reach(16, 400, 3000), "door": Reach(30, 400, 1000)}
    assert reaches_of(Settings(cameras=(door,))) == {}


def test_a_camera_that_does_not_mask_faces_has_no_tiles() -> None:
    persons = PrivacySettings(targets=(TargetName.PERSON,))
    camera = CameraSettings(id="yard", url="demo://", reach_px=16, privacy=persons)
    assert reaches_of(Settings(cameras=(camera,))) == {}


@pytest.mark.parametrize(("budget_ms", "reach_px", "may_rest"), [(100, 16, False), (None, 16, True), (100, None, True)])
def test_where_tiles_take_turns_no_view_rests_for_no_single_look_sees_all_of_it(
    budget_ms: int | None, reach_px: int | None, may_rest: bool
) -> None:
    camera = CameraSettings(id="yard", url="demo://", reach_px=reach_px)
    settings = Settings(cameras=(camera,), detect=DetectSettings(budget_ms=budget_ms))
    assert (longest_rest_ms(PrivacySettings(), track_of(settings, "yard")) is not None) == may_rest


def test_the_default_face_model_can_be_tiled() -> None:
    assert face_eye(Zoo().detectors.spec(DetectSettings().face_model)) == Eye(
        Size(960, 544), Fit.LETTERBOX, 16, has_forms=True
    )


def test_a_model_that_does_not_say_what_it_sees_cannot_be_tiled() -> None:
    with pytest.raises(ModelError, match=r"nanodet-g-int8 cannot search tiles: .* lacks min_face_px"):
        face_eye(Zoo().detectors.spec("nanodet-g-int8"))


def test_the_daemon_does_not_start_with_such_a_model_if_it_is_to_see_far() -> None:
    settings = Settings(
        cameras=(CameraSettings(id="yard", url="demo://"),),
        detect=DetectSettings(face_model="blazeface-full-range", reach_px=16),
    )
    clock = SystemClock()
    meter = PrometheusMeter(version="test", runtime="none")
    daemon = Daemon(settings, clock=clock, meter=meter, notifier=ServiceNotifier(None, clock))
    with pytest.raises(ModelError, match="lacks min_face_px"):
        daemon.start()


def test_only_faces_are_searched_in_tiles(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="anonymizer.detect.scout")
    detector = make_detector(
        DetectSettings(),
        frozenset(TargetName),
        reaches={"cam": Reach(16, 10_000, 10_000)},
        clock=SystemClock(),
        meter=RecordingMeter(),
    )
    with detector:
        detector.detect(make_frame(planes=make_planes(1280, 720)))
    (message,) = caplog.messages
    assert "1280x720: 4 tiles of 960x544" in message


@pytest.mark.parametrize(
    ("target", "reach_px", "is_tiled"),
    [(Target.FACE, 16, True), (Target.PERSON, 16, False), (Target.FACE, None, False)],
)
def test_clips_are_searched_in_tiles_as_cameras_are(
    target: Target, reach_px: int | None, is_tiled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="anonymizer.detect.scout")
    settings = Settings(detect=DetectSettings(reach_px=reach_px))
    with contextlib.closing(RehearsalStudio(RecordingMeter()).detector(settings, target, strict=False)) as detector:
        detector.start()
        detector.detect(make_frame(camera_id="evaluate", planes=make_planes(1280, 720)))
    assert any("4 tiles of 960x544" in message for message in caplog.messages) == is_tiled
