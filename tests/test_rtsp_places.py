"""Places at the RTSP server: how many there are, and that whoever is gone or takes nothing leaves theirs."""

from __future__ import annotations

import socket

import av
import pytest

from anonymizer.publish.rtsp_server import RtspServer
from tests.fakes import RecordingMeter
from tests.publishing import LiveStream, Viewer, settings, url, wait_for


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


@pytest.mark.e2e
def test_one_viewer_too_many_is_refused_and_the_others_stay(meter: RecordingMeter) -> None:
    with RtspServer(settings(max_clients=2), meter) as server, LiveStream() as stream:
        server.mount("cam", stream.hub)
        with Viewer(url(server)) as one, Viewer(url(server)) as two:
            with pytest.raises(av.FFmpegError):
                Viewer(url(server))
            assert len(one.read(5)) == len(two.read(5)) == 5


@pytest.mark.e2e
@pytest.mark.parametrize("transport", ["RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP;unicast;client_port=5000-5001"])
def test_a_viewer_that_hangs_up_without_a_word_leaves_its_place_to_the_next(
    meter: RecordingMeter, transport: str
) -> None:
    """A recorder that was killed, or connects anew every few seconds, must not lock itself and all others out."""
    with LiveStream() as stream, RtspServer(settings(max_clients=1), meter) as server:
        server.mount("cam", stream.hub)
        with Viewer(url(server)) as viewer:
            viewer.read(1)
        wait_for(lambda: server._server.get_session_pool().get_n_sessions() == 0)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            request = f"SETUP {url(server)}/stream=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: {transport}\r\n\r\n"
            client.sendall(request.encode())
            assert client.recv(1000).startswith(b"RTSP/1.0 200")
            assert server._server.get_session_pool().get_n_sessions() == 1
        wait_for(lambda: server._server.get_session_pool().get_n_sessions() == 0)
        with Viewer(url(server)) as viewer:
            assert len(viewer.read(30)) == 30


@pytest.mark.e2e
def test_connections_that_never_watch_cannot_use_up_the_machine(
    meter: RecordingMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scanner, or a recorder that connects anew without hanging up: descriptors are for cameras and the watchdog."""
    monkeypatch.setattr("anonymizer.publish.rtsp_server._SPARE_CONNECTIONS", 2)
    with LiveStream() as stream, RtspServer(settings(max_clients=1), meter) as server:
        server.mount("cam", stream.hub)
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(5)]
        wait_for(lambda: meter.counts["dropped", "", "rtsp_connections"] == 2)
        assert [each.recv(1) for each in idle[3:]] == [b"", b""]
        for each in idle:
            each.close()

        def is_served() -> bool:
            try:
                with Viewer(url(server)) as viewer:
                    return len(viewer.read(1)) == 1
            except (OSError, av.FFmpegError):  # those before it are not all gone yet
                return False

        wait_for(is_served)


@pytest.mark.e2e
def test_a_stopped_tcp_reader_is_cut_off(meter: RecordingMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anonymizer.publish.rtsp_server._STALL_S", 0.5)
    with RtspServer(settings(), meter) as server, LiveStream(width=640, height=480, noise=3) as stream:
        server.mount("cam", stream.hub)
        with Viewer(url(server)) as stuck:
            stuck.read(1)
            assert meter.values["clients", "cam", "rtsp"] == 1
            wait_for(lambda: meter.values["clients", "cam", "rtsp"] == 0, 20)


@pytest.mark.e2e
def test_a_udp_viewer_that_vanishes_leaves_no_connection_behind(
    meter: RecordingMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent over its connection, so that the kernel cannot notice; in the end nobody would be let in."""
    monkeypatch.setattr("anonymizer.publish.rtsp_server._LINGER_S", 1)
    monkeypatch.setattr("anonymizer.publish.rtsp_server._EXPIRY_S", 1)
    with RtspServer(settings(), meter) as server, LiveStream() as stream:
        server.mount("cam", stream.hub)
        with Viewer(url(server), "udp") as vanished:
            vanished.read(1)
            assert meter.values["clients", "cam", "rtsp"] == 1
            for session in server._server.get_session_pool().filter(None):
                session.set_timeout(1)  # 60 s otherwise
            wait_for(lambda: meter.values["clients", "cam", "rtsp"] == 0, 20)
            assert not server._clients
