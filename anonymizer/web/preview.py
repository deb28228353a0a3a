"""Keeps the newest redacted picture of each camera, and makes a JPEG of it when somebody looks."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import U8, RedactedFrame

_BT601 = np.array([0.299, 0.587, 0.114])
_BT709 = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True, slots=True)
class Picture:
    """A redacted picture as a JPEG."""

    version: int  # counts the frames of this camera
    tag: str  # differs between any two pictures, also across restarts
    jpeg: bytes = field(repr=False)


class PreviewStore:
    """A `FrameSink` that keeps the newest frame of each camera; safe from any thread."""

    def __init__(self, *, quality: int, max_width_px: int) -> None:
        """`quality` is that of the JPEG, 0-100; wider frames are scaled down to `max_width_px`."""
        self._quality = quality
        self._max_width_px = max_width_px
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}

    def offer(self, frame: RedactedFrame) -> None:
        """Replace the camera's frame; costs next to nothing while nobody looks."""
        with self._lock:
            slot = self._slots.get(frame.camera_id)
            if slot is None:
                slot = self._slots[frame.camera_id] = _Slot()
        slot.put(frame)

    def newest(self, camera_id: str) -> Picture | None:
        """The newest picture; None: this camera has sent none yet, or is unknown."""
        return self.wait(camera_id, after=-1, timeout_s=0)

    def wait(self, camera_id: str, *, after: int, timeout_s: float) -> Picture | None:
        """Wait for a picture of a version above `after`; after `timeout_s` the newest there is.

        None at once if the camera has sent no picture yet or was forgotten; raises cv2.error if it cannot be encoded.
        """
        with self._lock:
            slot = self._slots.get(camera_id)
        if slot is None or not slot.wait(after, timeout_s):
            return None
        return slot.picture(self._quality, self._max_width_px)

    def forget(self, camera_id: str) -> None:
        """Drop the camera's picture, and wake everybody who waits for it."""
        with self._lock:
            slot = self._slots.pop(camera_id, None)
        if slot is not None:
            slot.end()


class _Slot:
    """The newest frame of one camera, encoded at most once however many look."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: RedactedFrame | None = None
        self._version = -1
        self._ended = False
        self._encoding = threading.Lock()
        self._picture: Picture | None = None

    def put(self, frame: RedactedFrame) -> None:
        with self._changed:
            self._frame, self._version = frame, self._version + 1
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._frame, self._ended = None, True
            self._changed.notify_all()

    def wait(self, after: int, timeout_s: float) -> bool:
        """False once the camera is gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._version > after, timeout_s)
            return not self._ended

    def picture(self, quality: int, max_width_px: int) -> Picture | None:
        with self._encoding:
            with self._changed:
                frame, version = self._frame, self._version
            if frame is None:
                return None
            if self._picture is None or self._picture.version != version:
                jpeg = encode_jpeg(frame, quality=quality, max_width_px=max_width_px)
                self._picture = Picture(version, f"{frame.wall_ns:x}-{frame.seq:x}", jpeg)
            return self._picture


def encode_jpeg(frame: RedactedFrame, *, quality: int, max_width_px: int) -> bytes:
    """A JPEG of the frame, scaled down to `max_width_px` if it is wider; raises cv2.error."""
    i420 = _shrunk(frame, max_width_px)
    if frame.colour.full_range:
        i420 = _narrowed(i420)
    bgr = cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420)  # takes any input for BT.601 with 16-235
    if frame.colour.bt709:
        bgr = cv2.transform(bgr, _BT601_TO_BT709_BGR)
    return cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()


def _shrunk(frame: RedactedFrame, max_width_px: int) -> U8:
    """The I420 picture, at most `max_width_px` wide, sides even."""
    size = frame.size
    if size.width <= max_width_px:
        return frame.i420
    width = max_width_px & ~1
    height = max(2, round(size.height * width / size.width) & ~1)
    planes = frame.planes
    parts = (
        cv2.resize(planes.y, (width, height), interpolation=cv2.INTER_AREA),
        cv2.resize(planes.u, (width // 2, height // 2), interpolation=cv2.INTER_AREA),
        cv2.resize(planes.v, (width // 2, height // 2), interpolation=cv2.INTER_AREA),
    )
    return np.concatenate([part.ravel() for part in parts]).astype(np.uint8).reshape(height * 3 // 2, width)


def _narrowed(i420: U8) -> U8:
    """A full-range picture in the range 16-235 (luma) and 16-240 (chroma)."""
    height = i420.shape[0] * 2 // 3
    luma = cv2.convertScaleAbs(i420[:height], alpha=219 / 255, beta=16)
    chroma = cv2.convertScaleAbs(i420[height:], alpha=224 / 255, beta=128 - 128 * 224 / 255)
    return np.concatenate((luma, chroma)).astype(np.uint8)


def _rgb_to_ycbcr(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 3x3 matrix of ITU-R BT.601 or BT.709 for luma weights (Kr, Kg, Kb); chroma spans -0.5 to 0.5."""
    red, _, blue = weights
    return np.array(
        [
            weights,
            (np.array([0, 0, 1]) - weights) / (2 * (1 - blue)),
            (np.array([1, 0, 0]) - weights) / (2 * (1 - red)),
        ]
    )


# Undoes the conversion with the matrix of BT.601 and does it with that of BT.709; rows and columns are B, G, R.
_BT601_TO_BT709_BGR = (np.linalg.inv(_rgb_to_ycbcr(_BT709)) @ _rgb_to_ycbcr(_BT601))[::-1, ::-1].astype(np.float32)
