"""Encodes a short film once and keeps it in a cache file, so that playing it costs next to no CPU."""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer

from anonymizer.demo import virtual_camera
from anonymizer.errors import SourceError
from anonymizer.types import Size

MAX_CLIP_S = 120.0
_FORMAT_VERSION = 1  # part of every cache key: raise it when encoding changes


class Codec(enum.StrEnum):
    """The codecs of demo cameras."""

    H264 = "h264"
    H265 = "h265"
    MJPEG = "mjpeg"


@dataclass(frozen=True, slots=True)
class Reel:
    """An encoded loop: access units in Annex B (H.264, H.265) or JPEG pictures; the first is a key frame."""

    codec: Codec
    size: Size
    fps: Fraction
    units: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Encoding:
    encoder: str
    muxer: str  # also the name of the demuxer, and the suffix of the file
    pixels: str
    options: dict[str, str]


_ENCODINGS = {
    Codec.H264: _Encoding("libx264", "h264", "yuv420p", {"preset": "superfast", "tune": "zerolatency", "crf": "22"}),
    Codec.H265: _Encoding("libx265", "hevc", "yuv420p", {"preset": "ultrafast", "tune": "zerolatency", "crf": "24"}),
    Codec.MJPEG: _Encoding("mjpeg", "mjpeg", "yuvj420p", {"huffman": "default", "qmin": "3", "qmax": "6"}),
}


def remove_unfinished(folder: Path) -> None:
    """Delete the half-encoded films of processes that have ended."""
    for part in folder.glob("reel-*.*.part"):
        if not _runs(part.suffixes[-2][1:]):
            part.unlink(missing_ok=True)


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True  # it runs for another user
    return True


def portraits_reel(folder: Path, *, codec: Codec, size: Size, fps: Fraction) -> Reel:
    """The loop of the virtual camera, encoded now or found in `folder`; raises SourceError."""
    path = _cache_path(folder, "portraits", codec, size, fps)
    if not path.exists():
        pictures = (av.VideoFrame.from_ndarray(image, "bgr24") for image in virtual_camera.render(size, float(fps)))
        _encode(path, pictures, codec, size, fps)
    return _load(path, codec, size, fps)


def clip_reel(folder: Path, clip: Path, *, codec: Codec, size: Size | None, fps: Fraction | None) -> Reel:
    """The first MAX_CLIP_S seconds of a film, by default in its own size and rate; raises SourceError."""
    with _errors_of(clip):
        stat = clip.stat()
        with av.open(str(clip)) as film:
            video = film.streams.video[0]
            size = size or Size(video.width // 2 * 2, video.height // 2 * 2)
            fps = fps or video.average_rate or Fraction(25)
            path = _cache_path(folder, f"{clip.resolve()}:{stat.st_size}:{stat.st_mtime_ns}", codec, size, fps)
            if not path.exists():
                _encode(path, _at_rate(_decoded(clip, film), fps), codec, size, fps)
    return _load(path, codec, size, fps)


@contextmanager
def _errors_of(clip: Path) -> Iterator[None]:
    """Turn what is wrong with a film of the user's into a SourceError that names it."""
    try:
        yield
    except SourceError:
        raise
    except (OSError, av.FFmpegError, IndexError) as error:
        raise SourceError(f"cannot play the clip {clip}: {error}; name a film that ffmpeg can read") from error


def _decoded(clip: Path, film: InputContainer) -> Iterator[av.VideoFrame]:
    with _errors_of(clip):
        yield from film.decode(film.streams.video[0])


def _cache_path(folder: Path, content: str, codec: Codec, size: Size, fps: Fraction) -> Path:
    key = hashlib.sha256(f"{_FORMAT_VERSION}|{content}|{codec}|{size}|{fps}".encode()).hexdigest()[:20]
    return folder / f"reel-{key}.{_ENCODINGS[codec].muxer}"


def _at_rate(frames: Iterable[av.VideoFrame], fps: Fraction) -> Iterator[av.VideoFrame]:
    """Repeat pictures or leave some out, so that they come at `fps`."""
    wanted = 0
    start_s: float | None = None
    for frame in frames:
        at_s = 0.0 if frame.pts is None else frame.time
        start_s = at_s if start_s is None else start_s
        if at_s - start_s > MAX_CLIP_S:
            return
        while wanted / fps <= at_s - start_s + 1e-6:
            wanted += 1
            yield frame


def _encode(path: Path, pictures: Iterable[av.VideoFrame], codec: Codec, size: Size, fps: Fraction) -> None:
    """Encode with a key frame every second; the file appears whole or not at all; raises SourceError."""
    encoding = _ENCODINGS[codec]
    unfinished = path.with_suffix(f".{os.getpid()}.part")  # see `remove_unfinished`
    key_interval = max(1, round(fps))
    options = dict(encoding.options)
    if codec is Codec.H265:
        options["x265-params"] = f"log-level=none:repeat-headers=1:keyint={key_interval}:min-keyint={key_interval}"
    try:
        with av.open(str(unfinished), "w", format=encoding.muxer) as film:
            stream = cast(av.VideoStream, film.add_stream(encoding.encoder, rate=fps, options=options))
            stream.width, stream.height, stream.pix_fmt = size.width, size.height, encoding.pixels
            stream.codec_context.gop_size = key_interval
            stream.codec_context.thread_count = 1  # one slice a picture: rtph264pay splits key frames of several
            for index, picture in enumerate(pictures):
                scaled = picture.reformat(size.width, size.height, encoding.pixels)
                scaled.pts, scaled.time_base = index, 1 / fps
                scaled.pict_type = 0
                film.mux(stream.encode(scaled))
            film.mux(stream.encode(None))
        unfinished.replace(path)
    except SourceError:
        raise  # the pictures cannot be read
    except (OSError, av.FFmpegError) as error:
        raise SourceError(
            f"cannot keep the demo's film in {path.parent}: {error.strerror}; make room there, or make it writable"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _load(path: Path, codec: Codec, size: Size, fps: Fraction) -> Reel:
    """Read a finished cache file into memory."""
    with av.open(str(path), format=_ENCODINGS[codec].muxer) as film:
        units = tuple(bytes(packet) for packet in film.demux(video=0) if packet.size)
    if not units:
        path.unlink()
        raise SourceError(f"the cached film {path} was empty and has been deleted; try again")
    return Reel(codec, size, fps, units)
