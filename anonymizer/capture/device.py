"""Cameras on USB or a ribbon cable: /dev/videoN through Video4Linux."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from pydantic import SecretStr

from anonymizer.capture.input import LOW_DELAY, Input
from anonymizer.errors import SourceError

PREFIX: Final = "/dev/video"
# AVFMT_FLAG_NONBLOCK, which has no name among libav's options; without it a dead device blocks forever.
_NONBLOCK: Final = "4"
_OPTIONS: Final = {"size": "video_size", "fps": "framerate", "format": "input_format"}


def device_input(url: str) -> Input:
    """`/dev/video0`, or `/dev/video0?size=1280x720&fps=15&format=mjpeg`; raises SourceError for other options."""
    path, _, query = url.partition("?")
    wanted = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(wanted) - set(_OPTIONS))
    if unknown:
        raise SourceError(f"{path}: unknown option {unknown[0]!r}; known are {', '.join(_OPTIONS)}")
    options = {_OPTIONS[name]: value for name, value in wanted.items()}
    return Input(
        where=path,
        address=SecretStr(path),
        format="video4linux2",
        options={**LOW_DELAY, "fflags": _NONBLOCK, **options},
    )
