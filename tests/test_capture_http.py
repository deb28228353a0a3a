"""Capture of MJPEG over HTTP from a small real server."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import cv2
import numpy as np
import pytest

from anonymizer.capture.opening import open_source
from anonymizer.clock import SystemClock
from anonymizer.errors import SourceError
from anonymizer.ports import Source
from anonymizer.settings.schema import CameraSettings
from anonymizer.types import Size
from tests import film
from tests.fakes import RecordingMeter

pytestmark = pytest.mark.e2e

LOGIN = "Basic " + base64.b64encode(b"u:s3cret").decode()


class MjpegHandler(BaseHTTPRequestHandler):
    """`/video` plays for ever, `/short` three pictures, `/mute` answers and falls silent; `/locked` wants a login.

    Of every fourth picture of `/torn` the lower half is missing; `/bare` sends pictures without anything between them.
    """

    stop = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/locked" and self.headers["Authorization"] != LOGIN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        if self.path == "/nowhere":
            self.send_error(404)
            return
        self.send_response(200)
        bare = self.path == "/bare"
        self.send_header("Content-Type", "video/x-jpeg" if bare else "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        index = 0
        while not self.stop.wait(0.04) and not (self.path == "/short" and index == 3):
            if self.path == "/mute" and index == 3:
                self.stop.wait(10)
                return
            jpeg = cv2.imencode(".jpg", film.picture(index))[1].tobytes()
            if self.path == "/torn" and index % 4 == 3:
                jpeg = jpeg[: len(jpeg) // 2]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(jpeg if bare else head.encode() + jpeg + b"\r\n")
            except OSError:
                return
            index += 1

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), MjpegHandler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        MjpegHandler.stop.set()
        http.shutdown()
        thread.join()


@contextmanager
def connected(url: str, **keys: object) -> Iterator[Source]:
    settings = CameraSettings.model_validate({"id": "cam", "url": url, "read_timeout_s": 1.0, **keys})
    source = open_source(settings, epoch=0, first_seq=0, clock=SystemClock(), meter=RecordingMeter())
    try:
        source.start()
        yield source
    finally:
        source.close()


def test_pictures_come_with_the_times_of_their_arrival(server: str) -> None:
    with connected(server + "/video") as source:
        frames = [source.read() for _ in range(15)]
    assert frames[0].size == Size(320, 240)
    assert frames[0].colour.full_range
    assert not any(frame.suspect for frame in frames)
    for one, two in pairwise(frames[5:]):
        assert two.pts_ns - one.pts_ns == pytest.approx(two.captured_ns - one.captured_ns, abs=2_000_000)


def test_pictures_without_times_of_their_own_are_not_given_invented_ones(server: str) -> None:
    with connected(server + "/bare", max_fps=10) as source:
        frames = [source.read() for _ in range(15)][5:]
    passed_ns = frames[-1].captured_ns - frames[0].captured_ns
    assert frames[-1].pts_ns - frames[0].pts_ns == pytest.approx(passed_ns, rel=0.02)


def test_no_picture_shows_what_an_older_one_left_where_it_was_cut_off(server: str) -> None:
    with connected(server + "/torn") as source:
        frames = [source.read() for _ in range(15)]
    whole = [cv2.cvtColor(film.picture(index), cv2.COLOR_BGR2GRAY) for index in range(40)]
    shown = [frame for frame in frames if not frame.suspect]
    assert len(shown) >= 10
    for frame in shown:
        assert min(np.abs(frame.planes.y - each.astype(int)).mean() for each in whole) < 10  # others: 80


def test_a_locked_camera_opens_with_its_login_only(server: str) -> None:
    with connected(server + "/locked", username="u", password="s3cret") as source:
        source.read()
    with pytest.raises(SourceError, match="refused the login"), connected(server + "/locked"):
        pass


@pytest.mark.parametrize(
    ("path", "says"),
    [("/nowhere", "no stream at this path"), ("/short", "broke off"), ("/mute", "sent nothing for 1 s")],
)
def test_what_goes_wrong_is_said(server: str, path: str, says: str) -> None:
    with pytest.raises(SourceError, match=says), connected(server + path) as source:
        _read_until_it_fails(source)


def _read_until_it_fails(source: Source) -> None:
    while True:
        source.read()
