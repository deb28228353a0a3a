"""Chooses the source for a camera by the scheme of its URL."""

from __future__ import annotations

from anonymizer.capture import device
from anonymizer.capture.connection import LibavSource, Limits
from anonymizer.capture.credentials import credentials_of
from anonymizer.capture.demo import DemoDirectory, demo_input
from anonymizer.capture.device import device_input
from anonymizer.capture.file import FileSource, file_input, is_file
from anonymizer.capture.http import http_input
from anonymizer.capture.input import Input
from anonymizer.capture.rtsp import rtsp_input
from anonymizer.clock import Clock
from anonymizer.errors import SourceError
from anonymizer.ports import Meter, Source
from anonymizer.settings.address import CAMERA_SCHEMES
from anonymizer.settings.schema import CameraSettings

RESOLVER_S = 30.0  # no time-out of libav covers the look-up of names: three servers, 5 s each, twice (resolv.conf(5))
_SLACK_S = 5.0


def open_source(
    settings: CameraSettings,
    *,
    epoch: int,
    first_seq: int,
    clock: Clock,
    meter: Meter,
    demo: DemoDirectory | None = None,
    paced: bool = True,
) -> Source:
    """One attempt at the camera, not started; errors in the settings show in `start`.

    `demo` serves demo:// addresses. `paced` False reads files as fast as possible.
    """
    limits = Limits(settings.open_timeout_s, settings.read_timeout_s, settings.max_fps)

    def connection(epoch: int, first_seq: int) -> LibavSource:
        return LibavSource(
            settings.id,
            lambda: locate(settings, demo),
            limits,
            epoch=epoch,
            first_seq=first_seq,
            clock=clock,
            meter=meter,
        )

    if is_file(settings.url):
        return FileSource(connection, epoch=epoch, first_seq=first_seq, loop=settings.loop, paced=paced, clock=clock)
    return connection(epoch, first_seq)


def longest_silence_s(settings: CameraSettings) -> float:
    """How long a source of this camera may block in `start` or `read` without being stuck."""
    return settings.open_timeout_s + settings.read_timeout_s + RESOLVER_S + _SLACK_S


def reconnects(settings: CameraSettings) -> bool:
    """Whether the camera is to be opened again when its stream ends: always, except for a film to be played once."""
    return settings.loop or not is_file(settings.url)


def locate(settings: CameraSettings, demo: DemoDirectory | None) -> Input:
    """What libav must open for this camera; starts a demo camera; raises SourceError."""
    url = settings.url
    scheme = url.partition("://")[0].lower()
    if url.startswith(device.PREFIX):
        return device_input(url)
    if is_file(url):
        return file_input(url)
    if scheme in ("rtsp", "rtsps"):
        return rtsp_input(url, credentials_of(settings), settings.transport)
    if scheme in ("http", "https"):
        return http_input(url, credentials_of(settings))
    if scheme == "demo" and demo is not None:
        return demo_input(url, demo, settings.transport, settings.open_timeout_s)
    raise SourceError(f"camera {settings.id}: its url cannot be opened here; write one of {', '.join(CAMERA_SCHEMES)}")
