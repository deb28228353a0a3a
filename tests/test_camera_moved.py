"""When the camera moves, everything is masked whole until the detector has looked at the new view."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from anonymizer.policy.viewpoint import WINDOW_NS, Viewpoint
from anonymizer.policy.vigil import LOOKS
from anonymizer.pose import Pose
from anonymizer.settings.schema import Mode, PrivacySettings
from anonymizer.track.camera_motion import CameraMotion
from anonymizer.types import U8, Heat, Planes, Reason
from tests.camera_rig import FACE, Rig
from tests.fakes import make_detections, make_planes

SETTLING = -(-WINDOW_NS // 40_000_000)  # frames until a view counts as settled


def planes(seed: int) -> Planes:
    """One of several scenes."""
    rng = np.random.default_rng(seed)
    luma = cv2.resize(rng.integers(0, 256, (12, 16), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    return replace(make_planes(160, 120), y=np.asarray(luma, np.uint8))


def test_a_move_masks_frames_held_and_new_until_a_detection_of_the_new_view() -> None:
    rig = Rig()
    for seq in range(3):
        rig.frame(seq, planes=planes(1))
        rig.found(seq, FACE)
    rig.frame(3, planes=planes(1))
    first = 4
    for seq in range(first, first + SETTLING + 1):
        rig.frame(seq, planes=planes(2))
    settled = first + SETTLING
    rig.found(3)  # too late: that view is gone
    rig.wait(0.5)
    assert rig.asked == [0, 1, 2, 3, settled], "frames of a move are not looked at"
    assert rig.story() == [
        *((seq, None) for seq in range(3)),
        *((seq, Reason.CAMERA_MOVED) for seq in range(3, settled)),
        (settled, Reason.STARTING),
    ]
    rig.frame(settled + 1, planes=planes(2))
    rig.found(settled + 1)
    assert rig.story()[-1] == (settled + 1, None)
    assert rig.out[-1].regions == (), "tracks of the old view are forgotten"


def test_a_new_connection_is_a_new_view() -> None:
    rig = Rig()
    for seq in range(3):
        rig.frame(seq, planes=planes(1))
        rig.found(seq)
    rig.frame(3, planes=planes(2), epoch=1)
    rig.found(3, epoch=1)
    assert rig.story()[-1] == (3, None)


def test_a_damaged_picture_is_no_view() -> None:
    rig = Rig()
    for seq in range(3):
        rig.frame(seq, planes=planes(1))
        rig.found(seq)
    rig.frame(3, planes=planes(2), suspect=True)
    rig.frame(4, planes=planes(1))
    rig.found(4)
    assert rig.story()[-2:] == [(3, Reason.SUSPECT_DECODE), (4, None)]


class BrokenViewpoint(Viewpoint):
    def moved(self, luma: U8, pts_ns: int) -> bool:
        raise ValueError


def test_a_view_that_cannot_be_compared_counts_as_moved(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(viewpoint=BrokenViewpoint)
    rig.frame(0)
    assert rig.story() == [(0, Reason.CAMERA_MOVED)]
    assert "the view could not be compared" in caplog.text


@pytest.mark.parametrize("mode", list(Mode))
def test_only_in_mode_strict_is_unexplained_heat_masked(mode: Mode) -> None:
    rig = Rig(privacy=PrivacySettings(mode=mode, lookahead_ms=0))
    cells = np.zeros((6, 8), np.float32)
    cells[2, 3] = 0.9
    for seq in range(LOOKS):
        rig.frame(seq)
        rig.core.on_detections(replace(make_detections(seq=seq), heat=Heat(cells, 0.9)))
    reasons = [region.reason for region in rig.out[-1].regions]
    assert reasons == ([Reason.ATTENTION] if mode is Mode.STRICT else [])


# A camera that turns slowly


def panned(seq: int) -> Planes:
    """One scene by a camera that turns by two pixels a frame."""
    coarse = np.random.default_rng(7).integers(0, 256, (12, 40), dtype=np.uint8)
    wide = np.asarray(cv2.resize(coarse, (400, 120), interpolation=cv2.INTER_CUBIC), np.uint8)
    return replace(make_planes(160, 120), y=np.ascontiguousarray(wide[:, 2 * seq : 2 * seq + 160]))


def test_who_is_missed_while_the_camera_turns_is_masked_where_it_shows_them_then() -> None:
    rig = Rig(privacy=PrivacySettings(lookahead_ms=0))
    left, _, right, _ = FACE
    rig.frame(0, planes=panned(0))
    rig.found(0, FACE)
    for seq in range(1, 6):
        rig.frame(seq, planes=panned(seq))
        rig.found(seq)
    (region,) = rig.out[-1].regions
    middle = (region.box[0] + region.box[2]) / 2
    assert middle == pytest.approx((left + right) / 2 - 10, abs=1.5)
    assert region.box[0] <= left - 10
    assert region.box[2] >= right - 10


class BrokenMotion(CameraMotion):
    def pose(self, luma: U8) -> Pose:
        raise ValueError


def test_a_motion_that_cannot_be_measured_masks_the_frame_whole(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(motion=BrokenMotion)
    rig.frame(0)
    rig.found(0, FACE)
    rig.wait(0.5)
    assert rig.story() == [(0, Reason.CAMERA_MOVED)]
    assert "could not be compared" in caplog.text
