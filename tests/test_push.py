"""Pushing to an RTSP server that works, refuses, hangs, dies and comes back."""

from __future__ import annotations

import io
import itertools
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from anonymizer.clock import FakeClock, SystemClock
from anonymizer.gstreamer import load_gstreamer
from anonymizer.publish.hub import Hub
from anonymizer.publish.pipe import write_within
from anonymizer.publish.push import Pusher
from anonymizer.publish.push_wire import GOODBYE, pack_packet, pack_url, read_packet, read_url
from tests.fakes import RecordingMeter
from tests.publishing import LiveStream, wait_for

OUT = ("cam", "push")


def test_what_the_parent_packs_the_child_reads() -> None:
    pipe = io.BytesIO(pack_url("rtsp://ünï:p@x/1") + pack_packet(-5, b"abc") + pack_packet(7, b"d") + GOODBYE)
    assert read_url(pipe) == "rtsp://ünï:p@x/1"
    assert [read_packet(pipe) for _ in range(3)] == [(-5, b"abc"), (7, b"d"), (0, b"")]
    with pytest.raises(EOFError):
        read_packet(pipe)


@pytest.mark.parametrize("cut", [1, 11, 13])
def test_a_parent_that_dies_in_the_middle_of_a_packet_is_an_end(cut: int) -> None:
    with pytest.raises(EOFError):
        read_packet(io.BytesIO(pack_packet(0, b"abc")[:cut]))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    yield reader, writer
    for end in (reader, writer):
        os.close(end)


def test_more_than_a_pipe_holds_gets_through_to_a_reader_that_reads(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    got: list[bytes] = []

    def read() -> None:
        while sum(map(len, got)) < 300_000:
            got.append(os.read(reader, 4096))

    thread = threading.Thread(target=read)
    thread.start()
    write_within(writer, bytes(300_000), limit_s=10, now_ns=SystemClock().now_ns)
    thread.join(10)
    assert sum(map(len, got)) == 300_000


def test_a_reader_that_does_not_read_is_given_up(pipe: tuple[int, int]) -> None:
    clock = FakeClock()
    with pytest.raises(TimeoutError, match=r"nothing was taken for 0\.01 s"):
        write_within(pipe[1], bytes(300_000), limit_s=0.01, now_ns=clock.now_ns)


def test_a_pusher_without_packets_starts_no_process_and_closes_at_once() -> None:
    hub = Hub("cam", RecordingMeter())
    with Pusher("cam", "rtsp://127.0.0.1:9/x", hub, RecordingMeter(), SystemClock()) as pusher:
        assert children() == []
    pusher.close()


def test_a_hub_that_closes_ends_its_pusher() -> None:
    hub = Hub("cam", RecordingMeter())
    pusher = Pusher("cam", "rtsp://127.0.0.1:9/x", hub, RecordingMeter(), SystemClock())
    with pusher:
        hub.close()
        wait_for(lambda: not any(thread.name == "push-cam" for thread in threading.enumerate()))


class Receiver:
    """`ffmpeg` as an RTSP server for one push; writes what arrives, one line a packet, with its timestamp."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"rtsp://127.0.0.1:{port}/x"
        self._log = folder / f"{time.monotonic_ns()}.txt"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-rtsp_flags",
            "listen",
            "-i",
            self.url,
            "-c",
            "copy",
            "-flush_packets",
            "1",
        ]
        self.process = subprocess.Popen(
            [*command, "-f", "framecrc", str(self._log)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def times(self) -> list[int]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [int(line.split(",")[2]) for line in lines if line.startswith("0,") and line.count(",") >= 5]

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


def pusher_to(url: str, stream: LiveStream, meter: RecordingMeter, *, stall_s: float = 5.0) -> Pusher:
    return Pusher("cam", url, stream.hub, meter, SystemClock(), stall_s=stall_s)


@pytest.mark.e2e
def test_packets_arrive_with_their_spacing_and_the_url_shows_in_no_command_line(
    meter: RecordingMeter, tmp_path: Path
) -> None:
    port = free_port()
    with Receiver(port, tmp_path) as receiver, LiveStream() as stream:
        with pusher_to(f"rtsp://guard:s3cret@127.0.0.1:{port}/x", stream, meter):
            wait_for(lambda: len(receiver.times()) > 20, 15)
            assert meter.values["clients", *OUT] == 1
            commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in children()]
            assert any("push_child" in command for command in commands)
            assert not any("s3cret" in command for command in commands)
        times = receiver.times()
    gaps = [after - before for before, after in itertools.pairwise(times[5:])]
    assert all(2990 <= gap <= 3010 for gap in gaps), gaps  # 90 kHz at 30 fps
    assert meter.values["clients", *OUT] == 0
    assert meter.counts["bytes_out", *OUT] > 0
    assert not any("push_child" in Path(f"/proc/{pid}/cmdline").read_text() for pid in children())


@pytest.mark.e2e
def test_a_server_that_is_not_there_is_tried_again_until_it_is(
    meter: RecordingMeter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with LiveStream() as stream, pusher_to(f"rtsp://guard:s3cret@127.0.0.1:{port}/s3cret", stream, meter):
        wait_for(lambda: "next try" in caplog.text, 10)
        with Receiver(port, tmp_path) as receiver:
            wait_for(lambda: receiver.times(), 15)
    assert f"push to rtsp://127.0.0.1:{port}/***: Connection refused; next try in" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.e2e
def test_a_frozen_server_holds_up_nobody_and_its_successor_is_served(meter: RecordingMeter, tmp_path: Path) -> None:
    port = free_port()
    url = f"rtsp://127.0.0.1:{port}/x"
    with LiveStream(width=640, height=480, noise=3) as stream, pusher_to(url, stream, meter, stall_s=0.5):
        with Receiver(port, tmp_path) as frozen:
            wait_for(lambda: frozen.times(), 15)
            frozen.process.send_signal(signal.SIGSTOP)
            wait_for(lambda: meter.values["clients", *OUT] == 0, 30)
            before = len(stream.sent)
            wait_for(lambda: len(stream.sent) > before + 10)
        with Receiver(port, tmp_path) as successor:
            wait_for(lambda: len(successor.times()) > 5, 20)


@pytest.mark.e2e
def test_a_server_that_accepts_and_never_answers_is_given_up_and_close_does_not_wait_for_it(
    meter: RecordingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as mute, LiveStream(width=640, height=480, noise=3) as stream:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        pusher = pusher_to(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/x", stream, meter, stall_s=0.3)
        with pusher:
            wait_for(lambda: "the server hangs: nothing was taken for 0.3 s" in caplog.text, 10)
            wait_for(lambda: bool(children()), 10)
            began = time.monotonic()
        assert time.monotonic() - began < 4
    assert children() == []


@pytest.mark.e2e
def test_a_new_picture_size_is_announced_anew(meter: RecordingMeter, tmp_path: Path) -> None:
    hub = Hub("cam", RecordingMeter())

    def play(stream: LiveStream, until: Callable[[], object]) -> None:
        with stream.hub.subscribe("relay", 500) as source:
            while not until():
                packet = source.get(5)
                assert packet is not None
                hub.put(packet)

    with (
        Receiver(free_port(), tmp_path) as receiver,
        LiveStream() as small,
        LiveStream(width=96, height=80) as large,
        Pusher("cam", receiver.url, hub, meter, SystemClock()),
    ):
        play(small, lambda: receiver.times())
        first = set(children())
        play(large, lambda: set(children()) - first)
        wait_for(lambda: not set(children()) & first)


@pytest.mark.e2e
def test_credentials_open_a_server_that_demands_them(meter: RecordingMeter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with recording_server("guard", "s3cret") as port, LiveStream() as stream:
        with pusher_to(f"rtsp://guard:wrong@127.0.0.1:{port}/in", stream, meter):
            wait_for(lambda: "next try" in caplog.text, 10)
        assert "401" in caplog.text
        assert "wrong" not in caplog.text
        with pusher_to(f"rtsp://guard:s3cret@127.0.0.1:{port}/in", stream, meter):
            wait_for(lambda: meter.values.get(("clients", *OUT)) == 1, 10)
        assert "s3cret" not in caplog.text


@contextmanager
def recording_server(username: str, password: str) -> Iterator[int]:
    """Another vendor's media server: accepts a stream at /in from those who log in."""
    gst = load_gstreamer()
    server, context = gst.server.RTSPServer.new(), gst.glib.MainContext.new()
    server.set_service("0")
    server.set_address("127.0.0.1")
    factory = gst.server.RTSPMediaFactory.new()
    factory.set_transport_mode(gst.server.RTSPTransportMode.RECORD)
    factory.set_launch("( rtph264depay name=depay0 ! fakesink )")
    allowed = gst.core.Structure.new_empty("camera")
    for permission in ("access", "construct"):
        allowed.set_value(f"media.factory.{permission}", True)
    factory.add_role_from_structure(allowed)
    server.get_mount_points().add_factory("/in", factory)
    auth, token = gst.server.RTSPAuth.new(), gst.server.RTSPToken()
    auth.set_supported_methods(gst.rtsp.RTSPAuthMethod.DIGEST)
    token.set_string("media.factory.role", "camera")
    auth.add_digest(username, password, token)
    server.set_auth(auth)
    source = server.create_source(None)
    source.attach(context)
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            context.iteration(True)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server.get_bound_port()
    finally:
        source.destroy()
        stop.set()
        context.wakeup()
        thread.join(5)


_ORPHANED = """
import os, socket, sys
from anonymizer.clock import SystemClock
from anonymizer.publish.push import Pusher
from tests.fakes import RecordingMeter
from tests.publishing import LiveStream
from tests.test_push import children, wait_for
with LiveStream(width=640, height=480) as stream:
    with Pusher("cam", sys.argv[1], stream.hub, RecordingMeter(), SystemClock(), stall_s=60):
        wait_for(lambda: children(), 10)
        print(children()[0], flush=True)
        sys.stdin.read()
"""


@pytest.mark.e2e
def test_the_child_dies_with_its_parent_even_while_the_server_hangs() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"rtsp://127.0.0.1:{mute.getsockname()[1]}/x"
        with subprocess.Popen(
            [sys.executable, "-c", _ORPHANED, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as parent:
            assert parent.stdout is not None
            child = os.pidfd_open(int(parent.stdout.readline()))
            connection, _ = mute.accept()
            connection.recv(1)  # it has started and waits for an answer
            parent.kill()
        ended, _, _ = select.select([child], [], [], 5)
        connection.close()
        os.close(child)
    assert ended


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children() -> list[int]:
    """Process ids of the push children of this process."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError):
            found += [int(pid) for pid in Path(f"/proc/self/task/{task}/children").read_text().split()]
    return [pid for pid in found if is_push_child(pid)]


def is_push_child(pid: int) -> bool:
    try:
        return b"push_child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
