"""Makes the films that the benchmark plays, encoded as a camera would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av

from anonymizer.demo import virtual_camera
from anonymizer.types import Frame, Size


def write_film(path: Path, pictures: Iterable[av.VideoFrame], size: Size, fps: Fraction) -> int:
    """Write H.264 without B-frames, with a key frame every 2 s; returns the number of pictures."""
    options = {"preset": "veryfast", "crf": "23", "bf": "0", "g": str(round(2 * fps))}
    count = 0
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, "yuv420p"
        for picture in pictures:
            scaled = picture.reformat(size.width, size.height, "yuv420p")
            scaled.pts, scaled.time_base = count, 1 / fps
            sink.mux(stream.encode(scaled))
            count += 1
        sink.mux(stream.encode(None))
    return count


def portraits_film(path: Path, size: Size, fps: Fraction, frames: int) -> int:
    """Write the first pictures of the demo's virtual camera: two people before a wall."""
    pictures = islice(virtual_camera.render(size, float(fps)), frames)
    return write_film(path, (av.VideoFrame.from_ndarray(picture, "bgr24") for picture in pictures), size, fps)


def taken_at(frame: Frame, captured_ns: int) -> Frame:
    """The frame of a film as if a camera had sent it at that time."""
    return replace(frame, captured_ns=captured_ns)
