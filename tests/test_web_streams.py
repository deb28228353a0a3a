"""Rules of live pictures, and of clients that are many, slow or gone, with a real socket and a real client."""

from __future__ import annotations

import errno
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from anonymizer.web import listener
from tests.fakes import make_planes
from tests.web_rig import JPEG, Web, next_picture

# Live pictures


def test_a_stream_sends_picture_after_picture_and_counts_them(web: Web) -> None:
    web.show()
    with closing(web.stream()) as stream:
        assert stream.headers.get_content_type() == "multipart/x-mixed-replace"
        pictures = [next_picture(stream)]
        for _ in range(2):
            web.show()
            pictures.append(next_picture(stream))
        assert all(picture[:2] == JPEG for picture in pictures)
        assert web.meter.values["clients", "door", "mjpeg"] == 1
        assert web.meter.counts["bytes_out", "door", "mjpeg"] >= sum(map(len, pictures[:2]))


def test_a_stream_is_no_faster_than_mjpeg_fps(start: Callable[..., Web]) -> None:
    web = start(mjpeg_fps=20.0)
    web.show()
    began = time.monotonic()
    with closing(web.stream()) as stream:
        for _ in range(5):
            next_picture(stream)
            web.show()
    assert time.monotonic() - began >= 4 / 20


def test_a_stream_without_news_repeats_its_picture(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "STILL_INTERVAL_S", 0.05)
    web.show()
    with closing(web.stream()) as stream:
        assert next_picture(stream) == next_picture(stream) != b""


def test_a_stream_ends_when_its_camera_is_forgotten(web: Web) -> None:
    web.show()
    with closing(web.stream()) as stream:
        next_picture(stream)
        web.preview.forget("door")
        stream.read()


def test_more_streams_than_max_streams_are_refused_until_one_ends(
    start: Callable[..., Web], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "STILL_INTERVAL_S", 0.02)
    web = start(max_streams=2, mjpeg_fps=30.0)
    web.show("door")
    web.show("yard")
    first, second = web.stream("door"), web.stream("yard")
    with closing(second):
        response, body = web.ask("/cameras/door/stream.mjpeg")
        assert response.status == 503
        assert b"web.max_streams" in body
        assert web.status("/cameras/door/snapshot.jpg") == 200  # everything else is still served
        first.close()
        assert web.meter.wait_for(("clients", "door", "mjpeg"), 0)  # noticed when the next picture is sent
        with closing(web.stream("door")) as third:
            assert third.status == 200


# Limits


def test_connections_are_bounded_and_counted_and_freed(
    start: Callable[..., Web], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "SPARE_CONNECTIONS", 2)
    web = start(max_streams=1)
    idle = [socket.create_connection(("127.0.0.1", web.server.port), timeout=10) for _ in range(3)]
    refused = web.raw(b"")
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert web.meter.counts["dropped", "", "web_connections"] == 1
    for sock in idle:
        sock.close()
    deadline = time.monotonic() + 10
    while web.status("/healthz") == 503:
        assert time.monotonic() < deadline


def test_a_machine_without_a_free_thread_or_descriptor_is_survived(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", NoThread)
        assert web.status("/healthz") == 503

    accept, failures = socketserver.TCPServer.get_request, [OSError(errno.EMFILE, "too many open files")]

    def get_request(self: socketserver.TCPServer) -> object:
        if failures:
            raise failures.pop()
        return accept(self)

    monkeypatch.setattr(socketserver.TCPServer, "get_request", get_request)
    assert web.status("/healthz") == 200
    assert not failures


def test_a_client_that_drips_its_request_is_cut_off(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "REQUEST_TIMEOUT_S", 0.3)
    with socket.create_connection(("127.0.0.1", web.server.port), timeout=0.05) as sock:
        began = time.monotonic()
        sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        answer = None
        while answer is None and time.monotonic() - began < 10:
            try:
                sock.sendall(b"a")
                answer = sock.recv(100)
            except TimeoutError:
                continue
            except ConnectionError:
                answer = b""
        assert answer == b""
        assert 0.25 < time.monotonic() - began < 5


def test_a_client_that_never_reads_is_cut_off(start: Callable[..., Web], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SEND_TIMEOUT_S", 0.2)
    monkeypatch.setattr(listener, "STILL_INTERVAL_S", 0.001)
    web = start(mjpeg_fps=1000.0)
    web.show(planes=make_planes(1280, 720, seed=1))  # noise: a large JPEG
    with socket.create_connection(("127.0.0.1", web.server.port), timeout=10) as sock:
        sock.sendall(b"GET /cameras/door/stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert web.meter.wait_for(("clients", "door", "mjpeg"), 1)
        assert web.meter.wait_for(("clients", "door", "mjpeg"), 0)


def test_close_ends_streams_and_idle_clients_within_two_seconds(web: Web) -> None:
    web.show()
    with socket.create_connection(("127.0.0.1", web.server.port), timeout=10) as idle:
        streams = [web.stream() for _ in range(3)]
        for stream in streams:
            next_picture(stream)
        began = time.monotonic()
        web.server.close()
        assert time.monotonic() - began < 2
        assert idle.recv(10) == b""
    for stream in streams:
        stream.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("web")]
    web.server.close()


def test_the_port_is_free_again_after_close(web: Web, start: Callable[..., Web]) -> None:
    port = web.server.port
    web.status("/")
    web.server.close()
    assert start(port=port).status("/healthz") == 200
