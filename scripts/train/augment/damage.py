"""What lens, sensor and codec do to a picture: blur, lost resolution, noise, JPEG and H.264."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np

from anonymizer.types import F32, U8

_BANK = 1 << 21


def defocus(image: U8, sigma_px: float) -> U8:
    """A lens out of focus."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


def motion_blur(image: U8, length_px: float, degrees: float) -> U8:
    """Movement during the exposure, along a direction."""
    half = max(1, math.ceil(length_px / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    x, y = length_px / 2 * math.cos(math.radians(degrees)), length_px / 2 * math.sin(math.radians(degrees))
    scale = 16  # cv2.line takes fixed-point corners
    ends = [(round((half + sign * x) * scale), round((half + sign * y) * scale)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def lose_resolution(image: U8, factor: float) -> U8:
    """A camera of fewer pixels, enlarged: shrunk by the factor and brought back."""
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (max(1, round(width / factor)), max(1, round(height / factor))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


@cache
def _noise_bank() -> F32:
    """Standard normal numbers to cut windows from: drawing fresh ones takes longer than all other steps together."""
    return np.random.default_rng(0).standard_normal(_BANK, np.float32)


def _window(shape: tuple[int, ...], rng: np.random.Generator) -> F32:
    count = math.prod(shape)
    bank = _noise_bank()
    if count >= _BANK:
        return rng.standard_normal(shape, np.float32)
    start = int(rng.integers(_BANK - count))
    return bank[start : start + count].reshape(shape)


def sensor_noise(image: U8, sigma: float, grain_px: int, rng: np.random.Generator) -> U8:
    """Read and shot noise: `sigma` levels in mid grey, growing with the root of the light.

    A grain over 1 px is what is left after a camera's denoiser; grey images stay grey.
    """
    height, width = image.shape[:2]
    # all channels alike where the picture is grey, which a camera at night is
    channels = 1 if (image[::8, ::8, 0] == image[::8, ::8, 2]).all() else 3
    shape = (-(-height // grain_px), -(-width // grain_px), channels)
    noise = _window(shape, rng)
    if grain_px > 1:
        noise = np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    noise = np.broadcast_to(noise.reshape(height, width, channels), image.shape)
    strength = (sigma * np.sqrt((np.arange(256) + 16) / 144)).astype(np.float32)
    grains = cv2.LUT(image, strength) * noise
    return np.asarray(cv2.add(image, grains, dtype=cv2.CV_8U), np.uint8)


def jpeg(image: U8, quality: int) -> U8:
    """Coded as JPEG and back, quality 1-100."""
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def h264(image: U8, crf: int, shift_px: tuple[int, int]) -> U8:
    """Coded as the second picture of a real H.264 stream (x264) whose first shows the scene a few pixels off.

    `crf`: x264's constant quality, 18 clear to 51 ruined. The size is cut to even for 4:2:0 and brought back.
    """
    height, width = image.shape[:2]
    even = image[: height // 2 * 2, : width // 2 * 2]
    before = np.roll(even, shift_px, axis=(0, 1))
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": str(crf)}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    shown: list[av.VideoFrame] = []
    for number, picture in enumerate((before, even)):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = number
        for packet in encoder.encode(frame):
            shown += decoder.decode(packet)
    for packet in encoder.encode(None):
        shown += decoder.decode(packet)
    shown += decoder.decode(None)
    result = image.copy()
    result[: even.shape[0], : even.shape[1]] = shown[-1].to_ndarray(format="rgb24")
    return result
