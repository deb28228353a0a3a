"""Capture against a real RTSP server, dead, frozen, locked, or well."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from anonymizer.capture.opening import open_source
from anonymizer.clock import SystemClock
from anonymizer.demo.camera import DemoCameras
from anonymizer.errors import SourceEnded, SourceError
from anonymizer.ports import Source
from anonymizer.settings.schema import CameraSettings
from anonymizer.types import Frame, Size
from tests.fakes import RecordingMeter
from tests.lossy_relay import LossyRelay
from tests.rtsp_camera import RtspCamera

pytestmark = pytest.mark.e2e

READ_TIMEOUT_S = 1.0


def make_source(url: str, meter: RecordingMeter | None = None, /, **keys: object) -> Source:
    settings = CameraSettings.model_validate(
        {"id": "cam", "url": url, "open_timeout_s": 5.0, "read_timeout_s": READ_TIMEOUT_S, **keys}
    )
    return open_source(settings, epoch=0, first_seq=0, clock=SystemClock(), meter=meter or RecordingMeter())


@contextmanager
def connected(url: str, meter: RecordingMeter | None = None, /, **keys: object) -> Iterator[Source]:
    source = make_source(url, meter, **keys)
    source.start()
    try:
        yield source
    finally:
        source.close()


def failure_of(source: Source) -> tuple[SourceError, float]:
    """The error that reading ends in, and how many seconds after the last frame it came."""
    last = time.monotonic()
    try:
        while True:
            source.read()
            last = time.monotonic()
    except SourceError as error:
        return error, time.monotonic() - last


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspCamera]:
    """An H.264 camera that the tests leave as it is."""
    with RtspCamera() as camera:
        yield camera


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
def test_every_codec_comes_in_over_tcp_and_udp(codec: str, transport: str) -> None:
    meter = RecordingMeter()
    with RtspCamera(codec=codec) as camera, connected(camera.url, meter, transport=transport) as source:
        frames = [source.read() for _ in range(12)]
    check_frames(frames)
    assert not meter.counts
    assert frames[0].size == (Size(320, 184) if codec == "mjpeg" else Size(320, 180))
    assert frames[0].colour.full_range is (codec == "mjpeg")


def check_frames(frames: list[Frame]) -> None:
    """In order, unsuspected, about 15 a second, and a picture of something that moves."""
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert not any(frame.suspect for frame in frames)
    intervals_ms = np.diff([frame.pts_ns for frame in frames]) / 1e6
    assert np.all((intervals_ms > 50) & (intervals_ms < 90))
    assert frames[0].planes.y.std() > 10
    assert not np.array_equal(frames[0].planes.y, frames[-1].planes.y)


def test_the_login_is_used_also_when_the_url_has_none() -> None:
    with RtspCamera(username="ad min", password="p@/:?#%") as camera:
        bare = f"rtsp://127.0.0.1:{camera.port}/cam"
        for url, keys in ((camera.url, {}), (bare, {"username": "ad min", "password": "p@/:?#%"})):
            with connected(url, **keys) as source:
                source.read()
        for keys in ({}, {"username": "ad min", "password": "wr0ng"}):
            with pytest.raises(SourceError, match="refused the login") as caught:
                make_source(bare, **keys).start()
            assert "wr0ng" not in str(caught.value)


def test_a_wrong_path_is_told_from_a_wrong_address(camera: RtspCamera) -> None:
    with pytest.raises(SourceError, match="no stream at this path"):
        make_source(camera.url + "era").start()


def test_a_camera_that_is_off_is_refused_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match="nothing listens"):
            make_source(f"rtsp://127.0.0.1:{unused.getsockname()[1]}/cam").start()


def test_a_host_that_accepts_and_says_nothing_ends_in_the_open_timeout() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        source = make_source(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/cam", open_timeout_s=0.5)
        before = time.monotonic()
        with pytest.raises(SourceError, match=r"no answer within 0\.5 s"):
            source.start()
        assert time.monotonic() - before < 2


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_frozen_camera_is_noticed_within_the_read_timeout_and_comes_back(transport: str) -> None:
    with RtspCamera() as camera:
        with connected(camera.url, transport=transport) as source:
            source.read()
            camera.freeze()
            error, silent_s = failure_of(source)
            assert "sent nothing for 1 s" in str(error)
            assert silent_s < READ_TIMEOUT_S + 1.0
        camera.thaw()
        with connected(camera.url, transport=transport) as source:
            assert not source.read().suspect


def test_a_killed_camera_is_noticed_and_is_back_after_its_restart() -> None:
    with RtspCamera() as camera:
        with connected(camera.url) as source:
            source.read()
            camera.kill()
            error, silent_s = failure_of(source)
            assert isinstance(error, SourceEnded) or "broke the connection off" in str(error)
            assert silent_s < READ_TIMEOUT_S + 1.0
        camera.restart()
        with connected(camera.url) as source:
            source.read()


def test_a_pause_shows_as_loss() -> None:
    """Frozen for less than the time-out: the connection survives, pictures are missing."""
    meter = RecordingMeter()
    with RtspCamera() as camera, connected(camera.url, meter, read_timeout_s=5.0) as source:
        for _ in range(10):
            source.read()
        camera.freeze()
        threading.Timer(1.2, camera.thaw).start()
        frames = [source.read() for _ in range(30)]
    assert meter.counts["suspect", "cam", "loss"] >= 1
    assert any(frame.suspect for frame in frames)
    assert not frames[-1].suspect


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_packet_that_is_missing_over_tcp_makes_all_suspect_until_a_key_picture(
    codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    meter = RecordingMeter()
    with (
        RtspCamera(codec=codec, size=Size(640, 360)) as camera,
        LossyRelay(camera.url) as relay,
        connected(relay.url, meter) as source,
    ):
        before = [source.read() for _ in range(20)]
        relay.lose()
        after = [source.read() for _ in range(60)]
    assert not any(frame.suspect for frame in before)
    assert meter.counts["suspect", "cam", "loss"] >= 1
    suspect = [index for index, frame in enumerate(after) if frame.suspect]
    assert suspect == list(range(suspect[0], suspect[-1] + 1))
    assert suspect[0] <= 15
    assert not after[-1].suspect
    assert not [record for record in caplog.records if record.name.startswith("libav")]


def test_close_from_another_thread_ends_a_read_within_its_timeout() -> None:
    with RtspCamera() as camera:
        source = make_source(camera.url)
        source.start()
        source.read()
        camera.freeze()
        errors: list[SourceError] = []
        reader = threading.Thread(target=lambda: errors.append(failure_of(source)[0]))
        reader.start()
        source.close()
        reader.join(READ_TIMEOUT_S + 2.0)
        assert not reader.is_alive()
    assert len(errors) == 1


def test_twenty_connections_leave_no_descriptor_and_no_thread(camera: RtspCamera) -> None:
    def held() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    with connected(camera.url) as source:
        source.read()
    before = held()
    for attempt in range(20):
        with connected(camera.url, transport="tcp" if attempt % 2 else "udp") as source:
            source.read()
    assert held() == before


def test_demo_addresses_go_through_a_real_server() -> None:
    with DemoCameras() as directory:
        settings = CameraSettings(id="cam", url="demo://?size=320x180&fps=15", open_timeout_s=60)
        source = open_source(
            settings, epoch=0, first_seq=0, clock=SystemClock(), meter=RecordingMeter(), demo=directory
        )
        source.start()
        check_frames([source.read() for _ in range(5)])
        source.close()
