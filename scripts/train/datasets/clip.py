"""Takes pictures out of a video file: at time stamps, every few seconds, or where the scene changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.container
import av.error
import av.video.stream
import cv2
import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.types import U8

CLIPS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".ts", ".h264", ".h265", ".hevc")
_THUMBNAIL_PX = 32
_FAR_S = 5.0  # up to here decoding on costs less than a seek
_SLACK_S = 1e-3  # time stamps are rounded


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """One picture of a clip."""

    at_s: float  # from the clip's first picture
    image: U8  # (H, W, 3) RGB


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DatasetError(f"{path}: has no video")
            yield container, container.streams.video[0]
    except (av.error.FFmpegError, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as a video: {error}") from None


def _timed(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Pictures and their seconds from the first one; raw streams, which have no times, are counted at their rate."""
    start_s = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
    rate = float(stream.average_rate or 25)
    for number, frame in enumerate(container.decode(stream)):
        yield (number / rate if frame.time is None else frame.time - start_s), frame


def stills_at(path: Path, seconds: Iterable[float]) -> Iterator[tuple[float, Still | None]]:
    """Each wanted second, by time, with the picture that is shown then; None past the end. Raises DatasetError."""
    with _opened(path) as (container, stream):
        step_s = 1 / float(stream.average_rate or 25)
        base, start = stream.time_base, stream.start_time  # raw streams have none and are read through
        pictures = _timed(container, stream)
        shown: tuple[float, av.VideoFrame] | None = None
        coming = next(pictures, None)
        for wanted_s in sorted(seconds):
            far = coming is not None and wanted_s - coming[0] > _FAR_S
            if far and base is not None and start is not None:
                container.seek(start + int(wanted_s / base), stream=stream)
                pictures = _timed(container, stream)
                shown, coming = None, next(pictures, None)
            while coming is not None and coming[0] <= wanted_s + _SLACK_S:
                shown, coming = coming, next(pictures, None)
            over = shown is None or (coming is None and wanted_s > shown[0] + step_s)
            yield wanted_s, None if shown is None or over else Still(shown[0], _rgb(shown[1]))


def sampled_stills(path: Path, *, every_s: float, scene_change: float | None = None) -> Iterator[Still]:
    """A picture every so many seconds, the first one too; raises DatasetError.

    With `scene_change` only those that differ from the last one taken by so many levels of 255 on the mean, seen from
    afar: a camera that looks at an empty yard all night gives few.
    """
    with _opened(path) as (container, stream):
        due_s, last = 0.0, None
        for at_s, frame in _timed(container, stream):
            if at_s + _SLACK_S < due_s:
                continue
            image = _rgb(frame)
            size = (_THUMBNAIL_PX, _THUMBNAIL_PX)
            thumbnail = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.int32)
            if scene_change is None or last is None or np.abs(thumbnail - last).mean() >= scene_change:
                last = thumbnail
                yield Still(at_s, image)
                due_s = at_s + every_s


def _rgb(frame: av.VideoFrame) -> U8:
    """The picture as players show it: phones store it lying, with a note of how to turn it."""
    stored = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    return np.ascontiguousarray(np.rot90(stored, round(frame.rotation / 90)))
