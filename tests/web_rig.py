"""A running web server with fakes behind it, and a real client."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from anonymizer.clock import SystemClock
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings, WebSettings
from anonymizer.types import CameraStatus, LinkState, Planes, RedactionPlan, Size
from anonymizer.web import server
from anonymizer.web.preview import PreviewStore
from anonymizer.web.server import WebServer
from anonymizer.web.site import RtspAddress
from tests.fakes import RecordingMeter, make_frame

JPEG = b"\xff\xd8"
SIGNED_IN = {"Authorization": "Basic " + base64.b64encode(b"viewer:hunter2").decode()}
EVERY_PAGE = (
    *("/", "/page.css", "/page.js", "/icon.svg", "/api/cameras", "/metrics", "/nothing"),
    *("/cameras/door/snapshot.jpg", "/cameras/door/stream.mjpeg", "/cameras/none/snapshot.jpg"),
)


class Board:
    """A StatusBoard whose answers the test chooses."""

    def __init__(self, *camera_ids: str) -> None:
        self.camera_ids = camera_ids
        self.is_ready = self.is_healthy = True
        self.broken = False

    def cameras(self) -> list[CameraStatus]:
        if self.broken:
            raise RuntimeError("board <b>broken</b>")
        state = CameraStatus("", LinkState.STREAMING, "", Size(64, 48), 15.0, 15.0, 90.0, None, 0, 1, 0)
        return [dataclasses.replace(state, camera_id=camera_id) for camera_id in self.camera_ids]

    def ready(self) -> bool:
        return self.is_ready

    def healthy(self) -> bool:
        return self.is_healthy


class WatchedMeter(RecordingMeter):
    """A meter that tests can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def clients(self, camera: str, output: str, count: int) -> None:
        with self._changed:
            super().clients(camera, output, count)
            self._changed.notify_all()

    def wait_for(self, key: tuple[str, ...], value: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.values.get(key) == value, timeout=10)


@dataclasses.dataclass
class Web:
    """A running server and what it stands on."""

    server: WebServer
    board: Board
    preview: PreviewStore
    meter: WatchedMeter
    seq: int = 0

    def show(self, camera_id: str = "door", planes: Planes | None = None) -> None:
        self.seq += 1
        frame = make_frame(self.seq, camera_id=camera_id, planes=planes)
        self.preview.offer(Redactor(RedactSettings()).redact(frame, RedactionPlan(self.seq)))

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)

    def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(self.connect()) as connection:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response, response.read()

    def status(self, path: str, **headers: str) -> int:
        return self.ask(path, headers=headers)[0].status

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as sock:
            sock.sendall(request)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def stream(self, camera_id: str = "door") -> http.client.HTTPResponse:
        connection = self.connect()
        connection.request("GET", f"/cameras/{camera_id}/stream.mjpeg")
        return connection.getresponse()


def settings(**changes: object) -> WebSettings:
    """Settings on a free port."""
    return WebSettings().model_copy(update={"port": 0, **changes})


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Web]]:
    monkeypatch.setattr(server, "ACCEPT_POLL_S", 0.01)
    with ExitStack() as stack:

        def start(*, camera_ids: tuple[str, ...] = ("door", "yard"), **changes: object) -> Web:
            board, preview, meter = Board(*camera_ids), PreviewStore(quality=75, max_width_px=1280), WatchedMeter()
            web_server = WebServer(
                settings(**changes),
                board=board,
                preview=preview,
                exposition=lambda: b"anonymizer_test 1\n",
                meter=meter,
                clock=SystemClock(),
                version="1.2.3",
                rtsp=RtspAddress("0.0.0.0", 8554),  # noqa: S104
            )
            return Web(stack.enter_context(web_server), board, preview, meter)

        yield start
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("web")]


@pytest.fixture
def web(start: Callable[..., Web]) -> Web:
    return start()


def next_picture(stream: http.client.HTTPResponse) -> bytes:
    length = 0
    while line := stream.readline():
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
        if line == b"\r\n" and length:
            return stream.read(length)
    return b""
