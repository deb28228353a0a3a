"""Reads the 4:2:0 planes and the colour description of decoded pictures."""

from __future__ import annotations

from typing import Any, Final, cast

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from anonymizer.errors import SourceError
from anonymizer.types import U8, Colour, Planes, Size

_CHROMA_ROW_STEP: Final = {"yuv420p": 1, "yuvj420p": 1, "yuv422p": 2, "yuvj422p": 2}  # formats that need no copy
_RGB_PREFIXES: Final = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal")
_FULL_RANGE_PREFIXES: Final = ("yuvj", "gray")
_LEAST_PX: Final = 16
_HD_HEIGHT_PX: Final = 720  # unlabelled video from this height on is BT.709, below BT.601
_BT709: Final = 1  # frame.colorspace counts as libavutil's AVColorSpace, unlike PyAV's Colorspace
_LIKE_BT601: Final = (4, 5, 6, 7)  # FCC, BT.470BG, SMPTE 170M, SMPTE 240M


class PlaneReader:
    """Turns decoded pictures into planes; used by one thread."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def read(self, picture: av.VideoFrame) -> tuple[Planes, Colour]:
        """Read-only planes of even size, upright; an odd last row or column is cut off; raises SourceError.

        8-bit 4:2:0 and 4:2:2 (most MJPEG) are not copied; of 4:2:2 every second row of chroma is used. These views keep
        the decoder's buffer alive and are read-only because the decoder still predicts from it.
        """
        quarters = round(picture.rotation / 90) % 4  # counter-clockwise; the models know only people who stand upright
        size = Size(picture.width // 2 * 2, picture.height // 2 * 2)
        if min(size.width, size.height) < _LEAST_PX:
            raise SourceError(f"a picture of {picture.width}x{picture.height} is too small; is this a camera?")
        colour = _colour(picture)
        if picture.format.name not in _CHROMA_ROW_STEP:
            # Only the sampling changes; range and matrix stay, except for RGB.
            full = ColorRange.JPEG if colour.full_range else ColorRange.MPEG
            space = Colorspace.ITU709 if colour.bt709 else Colorspace.ITU601
            picture = self._reformatter.reformat(
                picture,
                format="yuv420p",
                src_colorspace=space,
                dst_colorspace=space,
                src_color_range=ColorRange.JPEG if _is_rgb(picture) else full,
                dst_color_range=full,
                threads=1,
            )
        half = Size(size.width // 2, size.height // 2)
        step = _CHROMA_ROW_STEP[picture.format.name]
        y, u, v = picture.planes[:3]
        planes = _view(y, size, 1), _view(u, half, step), _view(v, half, step)
        return Planes(*(_turned(plane, quarters) for plane in planes) if quarters else planes), colour


def _view(plane: VideoPlane, size: Size, row_step: int) -> U8:
    memory = memoryview(cast(Any, plane)).toreadonly()  # PyAV's stubs do not know the buffer protocol
    rows: U8 = np.frombuffer(memory, np.uint8).reshape(-1, plane.line_size)
    return rows[::row_step][: size.height, : size.width]


def _turned(plane: U8, quarters: int) -> U8:
    turned = np.ascontiguousarray(np.rot90(plane, quarters))
    turned.flags.writeable = False
    return turned


def _is_rgb(picture: av.VideoFrame) -> bool:
    return picture.format.name.startswith(_RGB_PREFIXES)


def _colour(picture: av.VideoFrame) -> Colour:
    """The colour description of the planes once they are 4:2:0."""
    if _is_rgb(picture):
        return Colour(full_range=False, bt709=False)
    full_range = picture.color_range == ColorRange.JPEG or picture.format.name.startswith(_FULL_RANGE_PREFIXES)
    unlabelled = picture.colorspace != _BT709 and picture.colorspace not in _LIKE_BT601
    bt709 = picture.height >= _HD_HEIGHT_PX if unlabelled else picture.colorspace == _BT709
    return Colour(full_range=full_range, bt709=bt709)
