"""Every kind of URL finds its way to libav."""

from __future__ import annotations

import random
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from anonymizer.capture.connection import LibavSource, Limits
from anonymizer.capture.file import FileSource
from anonymizer.capture.input import Input
from anonymizer.capture.opening import RESOLVER_S, locate, longest_silence_s, open_source, reconnects
from anonymizer.clock import SystemClock
from anonymizer.errors import SourceError
from anonymizer.settings.schema import CameraSettings, Transport
from tests import film
from tests.fakes import RecordingMeter


class FakeDirectory:
    def rtsp_url(self, demo_url: str, timeout_s: float) -> str:
        assert (demo_url, timeout_s) == ("demo://?fps=5", 8.0)
        return "rtsp://127.0.0.1:9/cam"


def camera(url: str, **keys: object) -> CameraSettings:
    return CameraSettings.model_validate({"id": "cam", "url": url, **keys})


def target(url: str, **keys: object) -> Input:
    return locate(camera(url, **keys), FakeDirectory())


@pytest.mark.parametrize(
    ("url", "format", "address"),
    [
        ("rtsp://h/live", "rtsp", "rtsp://h/live"),
        ("RTSPS://h/live", "rtsp", "RTSPS://h/live"),
        ("http://h/mjpg", None, "http://h/mjpg"),
        ("https://h/mjpg", None, "https://h/mjpg"),
        ("file:///a%20b.mp4", None, "/a b.mp4"),
        ("/dev/video0", "video4linux2", "/dev/video0"),
        ("demo://?fps=5", "rtsp", "rtsp://127.0.0.1:9/cam"),
    ],
)
def test_the_scheme_chooses_how_to_open(url: str, format: str | None, address: str) -> None:  # noqa: A002
    found = target(url)
    assert (found.format, found.address.get_secret_value()) == (format, address)


@pytest.mark.parametrize(
    ("url", "loop", "again"),
    [
        ("file:///a.mp4", False, False),
        ("FILE:///a.mp4", False, False),  # the settings allow schemes in any case
        ("file:///a.mp4", True, True),
        ("rtsp://h/", False, True),
    ],
)
def test_only_a_film_that_is_to_be_played_once_is_not_opened_again(url: str, loop: bool, again: bool) -> None:
    assert reconnects(camera(url, loop=loop)) is again


def test_rtsp_goes_over_tcp_unless_udp_is_wished() -> None:
    assert target("rtsp://h/").options["rtsp_transport"] == "tcp"
    over_udp = target("rtsp://h/", transport=Transport.UDP)
    assert over_udp.options["rtsp_transport"] == "udp"


def test_network_and_file_playlists_cannot_reach_into_each_other() -> None:
    assert "file" not in target("http://h/x.m3u8").options["protocol_whitelist"].split(",")
    assert target("file:///x.m3u8").options["protocol_whitelist"] == "file"


def test_a_device_takes_size_rate_and_format_and_is_read_without_blocking() -> None:
    options = target("/dev/video0?size=1280x720&fps=15&format=mjpeg").options
    assert (options["video_size"], options["framerate"], options["input_format"]) == ("1280x720", "15", "mjpeg")
    assert int(options["fflags"]) == 0x4  # AVFMT_FLAG_NONBLOCK
    with pytest.raises(SourceError, match="unknown option 'zoom'; known are size, fps, format"):
        target("/dev/video0?zoom=2")


def test_demo_without_a_demo_camera_is_an_error() -> None:
    with pytest.raises(SourceError, match="camera cam"):
        locate(camera("demo://"), None)


def test_only_files_are_played_by_the_file_source() -> None:
    def kind(url: str) -> type:
        return type(open_source(camera(url), epoch=0, first_seq=0, clock=SystemClock(), meter=RecordingMeter()))

    assert kind("FILE:///x.mp4") is FileSource
    assert kind("rtsp://h/") is LibavSource


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file:///nowhere/film.mp4", "/nowhere/film.mp4: there is no such file"),
        ("/dev/video99", "/dev/video99: there is no such file or device"),
    ],
)
def test_settings_that_cannot_work_fail_in_start_with_a_plain_message(url: str, says: str) -> None:
    source = open_source(camera(url), epoch=0, first_seq=0, clock=SystemClock(), meter=RecordingMeter())
    with pytest.raises(SourceError) as caught:
        source.start()
    assert says in str(caught.value)
    source.close()


def test_a_file_that_is_no_film_and_a_film_without_pictures_are_told_apart(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(random.Random(1).randbytes(2000))
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(2048))
    for path, says in ((noise, "no video that can be read"), (sound, "this stream has no video")):
        source = open_source(
            camera(f"file://{path}"), epoch=0, first_seq=0, clock=SystemClock(), meter=RecordingMeter()
        )
        with pytest.raises(SourceError, match=says):
            source.start()
        source.close()


class ReluctantCamera:
    """Stands in for libav's container of a device that is read without blocking: no picture for the first reads."""

    def __init__(self, path: Path, refusals: int) -> None:
        self._film = av.open(str(path))
        self.streams = self._film.streams
        self.format = self._film.format
        self.refusals = refusals

    def demux(self) -> Iterator[object]:
        if self.refusals > 0:
            self.refusals -= 1
            raise av.BlockingIOError(11, "again")
        yield from self._film.demux()

    def close(self) -> None:
        self._film.close()


@pytest.mark.parametrize("refusals", [3, 10**9])
def test_a_device_without_a_picture_is_asked_again_until_the_read_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    device = ReluctantCamera(film.encode(tmp_path / "film.avi", 2, codec="mjpeg", pixels="yuvj422p"), refusals)
    monkeypatch.setattr(av, "open", lambda *_args, **_options: device)
    source = LibavSource(
        "cam", lambda: target("/dev/video0"), Limits(1, 0.1), epoch=0, first_seq=0, clock=SystemClock(),
        meter=RecordingMeter(),
    )  # fmt: skip
    with source:
        if refusals == 3:
            assert source.read().seq == 0
        else:
            with pytest.raises(SourceError, match=r"/dev/video0: the camera sent nothing for 0\.1 s"):
                source.read()


def test_a_camera_whose_name_takes_the_resolver_its_full_time_is_not_taken_for_stuck() -> None:
    """Two name servers that are down take 20 s: the line was restarted before the reason could be said."""
    camera = CameraSettings(id="cam", url="rtsp://camera.example/s", open_timeout_s=2, read_timeout_s=1)
    assert longest_silence_s(camera) > 2 + 1 + RESOLVER_S
    assert RESOLVER_S >= 3 * 5 * 2  # resolv.conf(5): name servers, seconds, attempts
