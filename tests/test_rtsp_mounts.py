"""Outputs of the RTSP server that break or are replaced, whoever comes between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from anonymizer.publish.hub import Hub
from anonymizer.publish.rtsp_server import RtspServer
from anonymizer.settings.schema import RtspSettings
from tests.fakes import RecordingMeter


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer(RtspSettings().model_copy(update={"port": 0}), RecordingMeter()) as running:
        yield running


class FirstRelease:
    """A lock that calls back once, just after it was first given up: where another thread would come between."""

    def __init__(self, lock: threading.Condition, then: Callable[[], None]) -> None:
        self._lock = lock
        self._then: list[Callable[[], None]] = [then]

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()
        if self._then:
            self._then.pop()()

    def wait_for(self, condition: Callable[[], object], timeout_s: float) -> bool:
        return bool(self._lock.wait_for(condition, timeout_s))


class BrokenMedia:
    """A media that was ready and broke."""

    def unprepare(self) -> None:
        pass


def break_mount(server: RtspServer, camera_id: str) -> BrokenMedia:
    """As when the first viewer came and the media refuses packets by now."""
    mount, media = server._mounts[camera_id], BrokenMedia()
    mount.media, mount.held = media, True
    return media


def offered(server: RtspServer, path: str) -> object:
    """The factory that GStreamer asks for a path, None if nothing is there."""
    factory, _matched = server._server.get_mount_points().match(path)
    return factory


def test_a_broken_output_is_mounted_again_on_its_hub(server: RtspServer) -> None:
    hub = Hub("cam", RecordingMeter())
    server.mount("cam", hub)
    broken = server._mounts["cam"].factory
    server._mount_again("cam", break_mount(server, "cam"), "it broke")
    assert server._mounts["cam"].hub is hub
    assert server._mounts["cam"].factory != broken
    assert offered(server, "/cam") == server._mounts["cam"].factory


def test_a_reload_while_a_broken_output_begins_anew_keeps_its_new_hub(
    server: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Hub("cam", RecordingMeter()), Hub("cam", RecordingMeter())
    server.mount("cam", old)
    media = break_mount(server, "cam")

    def reload() -> None:
        server.unmount("cam")
        server.mount("cam", new)

    monkeypatch.setattr(server, "_lock", FirstRelease(server._lock, reload))
    server._mount_again("cam", media, "it broke")
    assert server._mounts["cam"].hub is new
    assert offered(server, "/cam") == server._mounts["cam"].factory


def test_a_camera_removed_while_its_broken_output_begins_anew_stays_away(
    server: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.mount("cam", Hub("cam", RecordingMeter()))
    media = break_mount(server, "cam")
    monkeypatch.setattr(server, "_lock", FirstRelease(server._lock, lambda: server.unmount("cam")))
    server._mount_again("cam", media, "it broke")
    assert server._mounts == {}
    assert offered(server, "/cam") is None


def test_a_media_that_was_made_for_an_earlier_mount_is_not_fed_by_the_one_that_replaced_it(server: RtspServer) -> None:
    server.mount("cam", Hub("cam", RecordingMeter()))
    earlier = server._mounts["cam"].factory
    server.unmount("cam")
    server.mount("cam", Hub("cam", RecordingMeter()))
    server._on_media("cam", earlier, BrokenMedia())
    assert (server._mounts["cam"].media, server._mounts["cam"].feed) == (None, None)
