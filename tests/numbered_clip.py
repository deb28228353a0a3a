"""A clip whose every frame carries its own number as a bar code, so that output can be compared with input."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from anonymizer.types import U8

BLOCK_PX = 12
_BITS = 10
_WIDTH_PX = BLOCK_PX * (_BITS + 3)  # white, black, the bits, parity


def write_numbered(clip: Path, out: Path, count: int) -> None:
    """The first `count` frames of `clip` with their numbers drawn in, as near lossless H.264."""
    with av.open(str(clip)) as container, av.open(str(out), "w") as sink:
        source = container.streams.video[0]
        rate = Fraction(source.average_rate or 10)
        stream = sink.add_stream("libx264", rate=rate, options={"crf": "10", "preset": "superfast"})
        stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
        for index, frame in enumerate(container.decode(video=0)):
            if index == count:
                break
            picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
            draw_number(picture, index)
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        sink.mux(stream.encode())


def draw_number(picture: U8, number: int) -> None:
    """Draw into the top-left corner of an (H, W, 3) picture."""
    bits = [1, 0, *(number >> bit & 1 for bit in range(_BITS)), number.bit_count() & 1]
    for index, bit in enumerate(bits):
        picture[:BLOCK_PX, index * BLOCK_PX : (index + 1) * BLOCK_PX] = 235 * bit


def read_number(luma: U8) -> int | None:
    """The number in the corner of an (H, W) picture; None where it is masked or damaged."""
    strip = luma[3 : BLOCK_PX - 3, :_WIDTH_PX].reshape(BLOCK_PX - 6, -1, BLOCK_PX)[:, :, 3:-3]
    means = strip.mean(axis=(0, 2))
    if np.any((means > 80) & (means < 170)) or strip.std(axis=(0, 2)).max() > 30:
        return None
    bits = (means > 128).astype(int)
    number = int(sum(int(bit) << index for index, bit in enumerate(bits[2:-1])))
    return number if bits[0] == 1 and bits[1] == 0 and bits[-1] == number.bit_count() & 1 else None
