"""The RTSP server with real clients: FFmpeg's library in this process, and ffmpeg itself."""

from __future__ import annotations

import base64
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import av
import pytest
from pydantic import SecretStr

from anonymizer.errors import LibraryError, PublishError
from anonymizer.gstreamer import load_gstreamer
from anonymizer.publish.hub import Hub
from anonymizer.publish.rtsp_server import RtspServer
from tests.fakes import RecordingMeter
from tests.publishing import LiveStream, Viewer, contiguous, settings, url, wait_for


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


@pytest.fixture
def server(meter: RecordingMeter) -> Iterator[RtspServer]:
    with RtspServer(settings(), meter) as running:
        yield running


@pytest.fixture
def live(server: RtspServer) -> Iterator[LiveStream]:
    with LiveStream() as stream:
        server.mount("cam", stream.hub)
        yield stream


def test_other_machines_are_refused_without_a_password(meter: RecordingMeter) -> None:
    with pytest.raises(PublishError, match=r"rtsp\.password_file"):
        RtspServer(settings(listen="0.0.0.0"), meter).start()  # noqa: S104


def test_missing_bindings_are_answered_with_the_apt_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(LibraryError, match=r"sudo apt install python3-gi gir1\.2-gst-rtsp-server-1\.0.*system-site"):
        load_gstreamer()


def test_missing_plugins_are_answered_with_the_apt_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anonymizer.gstreamer._ELEMENTS", ("appsrc", "nosuchelement"))
    with pytest.raises(LibraryError, match=r"lacks nosuchelement: sudo apt install .*plugins-bad"):
        load_gstreamer()


def test_a_taken_port_is_named_with_its_key(meter: RecordingMeter) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PublishError, match=rf"port {port}: .*in use.*rtsp\.port"):
            RtspServer(settings(port=port), meter).start()


def test_an_address_that_this_machine_does_not_have_is_not_called_a_taken_port(meter: RecordingMeter) -> None:
    listen = settings(listen="192.0.2.1", username="nvr", password=SecretStr("s3cret"))  # TEST-NET-1
    with pytest.raises(PublishError, match=r"no such address now; .*rtsp\.listen") as caught:
        RtspServer(listen, meter).start()
    assert "other program" not in str(caught.value)


def test_mounting_on_a_server_that_does_not_run_is_refused(meter: RecordingMeter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = RtspServer(settings(port=other.getsockname()[1]), meter)
        for _ in range(2):
            with pytest.raises(PublishError, match="not running"):
                server.mount("cam", Hub("cam", meter))
            with pytest.raises(PublishError, match="in use"):
                server.start()


def test_closing_what_never_started_and_closing_twice_do_nothing(meter: RecordingMeter) -> None:
    server = RtspServer(settings(), meter)
    server.close()
    server.start()
    server.unmount("nobody")
    server.close()
    server.close()


@pytest.mark.e2e
def test_tcp_and_udp_viewers_get_the_same_stream_at_once(server: RtspServer, live: LiveStream) -> None:
    with Viewer(url(server), "tcp") as tcp, Viewer(url(server), "udp") as udp:
        for viewer in (tcp, udp):
            got = viewer.read(20)
            assert len(got) == 20
            assert contiguous(got, live.sent)


@pytest.mark.e2e
def test_ffmpeg_decodes_the_stream_without_a_complaint(server: RtspServer, live: LiveStream) -> None:
    command = [
        "ffmpeg",
        "-v",
        "warning",
        "-rtsp_transport",
        "tcp",
        "-i",
        url(server),
        "-frames:v",
        "15",
        "-f",
        "null",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.e2e
def test_timestamps_keep_the_cameras_spacing(server: RtspServer, live: LiveStream) -> None:
    with Viewer(url(server)) as viewer:
        times = [float(picture.time or 0.0) for picture in viewer.decode(20)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(0.025 < gap < 0.042 for gap in gaps[2:]), gaps


@pytest.mark.e2e
def test_a_viewer_that_joins_late_begins_at_once_with_a_key_frame(server: RtspServer, live: LiveStream) -> None:
    with Viewer(url(server)) as first:
        first.read(3)
        began = time.monotonic()
        with Viewer(url(server)) as second:
            assert second.decode(1)
        assert time.monotonic() - began < 1.5


def description(server: RtspServer) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(f"DESCRIBE {url(server)} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        return client.recv(4096)


@pytest.mark.e2e
def test_whoever_comes_after_the_camera_changed_its_size_is_told_the_new_one(
    server: RtspServer, live: LiveStream, meter: RecordingMeter
) -> None:
    """Recorders write into their files what the description says, and players believe it."""
    with Viewer(url(server)) as viewer:
        viewer.read(1)
    wait_for(lambda: meter.values["clients", "cam", "rtsp"] == 0)
    live.resize(320, 240)
    (key,) = live.encoder().encode(live.picture(0), key=True)
    parameters = base64.b64encode(key.data.split(b"\x00\x00\x00\x01")[1])
    wait_for(lambda: parameters in description(server))


@pytest.mark.e2e
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_viewers_are_hung_up_on_when_the_camera_changes_its_size_and_served_again(
    server: RtspServer, live: LiveStream, transport: str
) -> None:
    """Their recorder goes on with the old description otherwise, in every file from then on."""
    with Viewer(url(server), transport) as viewer:
        viewer.read(2)
        live.resize(320, 240)
        assert len(viewer.read(10_000)) < 10_000  # it ends
    with Viewer(url(server), transport) as viewer:
        assert [(picture.width, picture.height) for picture in viewer.decode(1)] == [(320, 240)]


@pytest.mark.e2e
def test_whoever_spells_the_address_in_another_way_takes_the_stream_from_nobody(
    server: RtspServer, live: LiveStream
) -> None:
    with Viewer(url(server)) as first:
        first.read(1)
        with Viewer(f"{url(server)}?transportmode=unicast") as second:
            assert contiguous(second.read(5), live.sent)
        assert len(first.read(60)) == 60  # more than was on its way


@pytest.mark.e2e
def test_viewers_that_leave_and_return_in_quick_succession_are_always_served(
    server: RtspServer, live: LiveStream
) -> None:
    for transport in ("tcp", "udp") * 4:
        with Viewer(url(server), transport) as viewer:
            assert len(viewer.read(2)) == 2


@pytest.mark.e2e
def test_viewers_and_bytes_are_counted(server: RtspServer, live: LiveStream, meter: RecordingMeter) -> None:
    with Viewer(url(server)) as one, Viewer(url(server), "udp") as two:
        one.read(2)
        two.read(2)
        assert meter.values["clients", "cam", "rtsp"] == 2
    assert meter.counts["bytes_out", "cam", "rtsp"] > 0
    wait_for(lambda: meter.values["clients", "cam", "rtsp"] == 0)


@pytest.mark.e2e
def test_digest_auth_lets_in_only_those_who_know(live_secret: RtspServer) -> None:
    with Viewer(url(live_secret, login="guard:s3cret@")) as viewer:
        assert viewer.read(2)
    for login in ("", "guard:wrong@", "other:s3cret@"):
        with pytest.raises(av.error.HTTPUnauthorizedError):
            Viewer(url(live_secret, login=login))


@pytest.fixture
def live_secret(meter: RecordingMeter) -> Iterator[RtspServer]:
    secret = settings(username="guard", password=SecretStr("s3cret"))
    with RtspServer(secret, meter) as server, LiveStream() as stream:
        server.mount("cam", stream.hub)
        yield server


@pytest.mark.e2e
def test_the_password_never_crosses_the_wire(live_secret: RtspServer) -> None:
    with socket.create_connection(("127.0.0.1", live_secret.port), 5) as raw:
        raw.sendall(f"DESCRIBE {url(live_secret)} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        answer = raw.recv(4096).decode()
    assert "401" in answer
    assert "Digest" in answer
    assert "Basic" not in answer


@pytest.mark.e2e
def test_a_stopped_tcp_reader_does_not_take_a_frame_from_the_others(server: RtspServer, live: LiveStream) -> None:
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-rtsp_transport",
        "tcp",
        "-i",
        url(server),
        "-f",
        "null",
        "-progress",
        "-",
        "-",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stuck:
        assert stuck.stdout is not None
        stuck.stdout.readline()  # it decodes
        stuck.send_signal(signal.SIGSTOP)
        got: dict[int, list[bytes]] = {}

        def view(index: int) -> None:
            with Viewer(url(server)) as viewer:
                got[index] = viewer.read(60)

        readers = [threading.Thread(target=view, args=(index,)) for index in range(5)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(15)
        stuck.kill()
    assert [len(got[index]) for index in range(5)] == [60] * 5
    assert all(contiguous(tails, live.sent) for tails in got.values())


@pytest.mark.e2e
def test_a_request_without_end_is_not_taken_into_memory(server: RtspServer) -> None:
    """Nobody needs a password to send one, and the whole program would be ended for want of memory."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as stranger:
        stranger.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 2000000000\r\n\r\n")
        assert stranger.recv(100).startswith(b"RTSP/1.0 4")


@pytest.mark.e2e
def test_a_camera_without_packets_does_not_delay_another(server: RtspServer, live: LiveStream) -> None:
    silent = Hub("silent", RecordingMeter())
    server.mount("silent", silent)

    def knock() -> None:
        with pytest.raises(av.FFmpegError):
            Viewer(url(server, "silent"))

    waiting = [threading.Thread(target=knock) for _ in range(2)]
    for each in waiting:
        each.start()
    began = time.monotonic()
    with Viewer(url(server)) as viewer:
        assert viewer.read(3)
    assert time.monotonic() - began < 3
    server.close()
    for each in waiting:
        each.join(10)


@pytest.mark.e2e
def test_a_camera_that_was_silent_at_first_can_be_watched_later(server: RtspServer) -> None:
    with LiveStream("late") as stream:
        quiet = Hub("late", RecordingMeter())
        server.mount("late", quiet)
        with socket.create_connection(("127.0.0.1", server.port), 5) as impatient:
            impatient.sendall(f"DESCRIBE {url(server, 'late')} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        server.unmount("late")
        server.mount("late", stream.hub)
        with Viewer(url(server, "late")) as viewer:
            assert viewer.read(3)


@pytest.mark.e2e
def test_mounts_come_and_go_while_others_stream(server: RtspServer, live: LiveStream) -> None:
    with Viewer(url(server)) as steady, LiveStream("extra") as extra:
        steady.read(1)
        with pytest.raises(av.error.HTTPNotFoundError):
            Viewer(url(server, "extra"))
        server.mount("extra", extra.hub)
        guest = Viewer(url(server, "extra"))
        assert guest.read(3)
        server.unmount("extra")
        guest.read(1000)  # ends, as the server hung up
        guest.close()
        with pytest.raises(av.error.HTTPNotFoundError):
            Viewer(url(server, "extra"))
        assert contiguous(steady.read(30), live.sent)


@pytest.mark.e2e
def test_an_output_that_breaks_is_mounted_again(
    server: RtspServer, live: LiveStream, caplog: pytest.LogCaptureFixture
) -> None:
    with Viewer(url(server)) as viewer:
        viewer.read(2)
        server._mounts["cam"].media.get_element().get_by_name("source").emit("end-of-stream")
        viewer.read(1000)  # ends, as the server hung up
    wait_for(lambda: "the RTSP output broke" in caplog.text)
    with Viewer(url(server)) as viewer:
        assert len(viewer.read(3)) == 3


@pytest.mark.e2e
def test_close_hangs_up_on_every_viewer_within_seconds(meter: RecordingMeter) -> None:
    with LiveStream() as stream:
        server = RtspServer(settings(), meter)
        server.start()
        server.mount("cam", stream.hub)
        viewers = [Viewer(url(server), transport) for transport in ("tcp", "udp", "tcp")]
        for viewer in viewers:
            viewer.read(2)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 3
        for viewer in viewers:
            viewer.close()
    assert meter.values["clients", "cam", "rtsp"] == 0


@pytest.mark.e2e
def test_whoever_is_accepted_in_the_moment_of_closing_is_hung_up_on_too(
    meter: RecordingMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted, go_on, on_connected = threading.Event(), threading.Event(), RtspServer._on_connected

    def held_up(server: RtspServer, *arguments: object) -> None:
        accepted.set()
        go_on.wait(5)
        on_connected(server, *arguments)

    monkeypatch.setattr(RtspServer, "_on_connected", held_up)
    server = RtspServer(settings(), meter)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        accepted.wait(5)
        closing = threading.Thread(target=server.close)
        closing.start()
        wait_for(server._stop.is_set)
        go_on.set()
        closing.join(5)
        assert client.recv(1) == b""


@pytest.mark.e2e
def test_starting_and_closing_leaves_no_thread_and_no_descriptor(meter: RecordingMeter) -> None:
    def cycle() -> None:
        with RtspServer(settings(), meter) as server:
            server.mount("cam", stream.hub)
            with Viewer(url(server)) as viewer:
                viewer.read(1)

    with LiveStream() as stream:
        cycle()  # what GStreamer keeps for good
        cycle()
        threads, descriptors = entries("task"), entries("fd")
        for _ in range(10):
            cycle()
        wait_for(lambda: entries("fd") <= descriptors)
        wait_for(lambda: entries("task") <= threads)


def entries(kind: str) -> int:
    """How many threads ("task") or descriptors ("fd") this process has."""
    return len(os.listdir(f"/proc/self/{kind}"))
