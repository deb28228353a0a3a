"""Small films for the tests of capture, made on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from anonymizer.types import U8

FPS = 10


def picture(index: int, width: int = 320, height: int = 240) -> U8:
    """A textured scene that moves: (H, W, 3) uint8 BGR; texture makes damage visible and bits plenty."""
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 256, (height, width * 2, 3), dtype=np.uint8)
    return np.ascontiguousarray(wide[:, index * 3 % width :][:, :width])


def encode(
    path: Path,
    count: int,
    *,
    codec: str = "libx264",
    width: int = 320,
    height: int = 240,
    pixels: str = "yuv420p",
    key_interval: int = 10,
    options: dict[str, str] | None = None,
) -> Path:
    """A film of `count` pictures at FPS, one slice a picture; the suffix chooses the container."""
    if options is None:
        options = {"preset": "ultrafast", "tune": "zerolatency"} if codec == "libx264" else {}
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=FPS, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.gop_size = key_interval
        stream.codec_context.thread_count = 1
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index, width, height), "bgr24").reformat(format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


def access_units(path: Path) -> list[bytes]:
    """The packets of a raw H.264 or H.265 film."""
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(video=0) if packet.size]
