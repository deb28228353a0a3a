"""What a camera's frames say of where it points: whether it shows something else, and how it turned; no thread."""

from __future__ import annotations

import logging

from anonymizer.policy.viewpoint import Viewpoint
from anonymizer.pose import STILL, Pose
from anonymizer.track.camera_motion import CameraMotion
from anonymizer.types import Frame

log = logging.getLogger(__name__)


class View:
    """Of one camera; used by one thread."""

    def __init__(self, camera_id: str, viewpoint: Viewpoint, motion: CameraMotion) -> None:
        self._camera_id = camera_id
        self._viewpoint = viewpoint
        self._motion = motion
        self._pose = STILL

    def pose(self, frame: Frame) -> Pose | None:
        """Where the camera points in the next frame; None: nothing that was known before applies to it.

        Damaged frames tell nothing of it: it points where it did.
        """
        if frame.suspect:
            return self._pose
        try:
            if self._viewpoint.moved(frame.planes.y, frame.pts_ns):
                self._forget_motion()
                return None
            self._pose = self._motion.pose(frame.planes.y)
        except Exception:  # stage boundary: fails closed, a view that cannot be compared counts as another one
            log.exception("camera %s: the view could not be compared; masking the whole frame", self._camera_id)
            self.reset()
            return None
        return self._pose

    def reset(self) -> None:
        """The next frame begins a new view."""
        self._viewpoint.reset()
        self._forget_motion()

    def _forget_motion(self) -> None:
        self._motion.reset()
        self._pose = STILL
