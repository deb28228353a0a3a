"""The routes of the web server: which answer belongs to which path."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files

from anonymizer.clock import Clock
from anonymizer.ports import StatusBoard
from anonymizer.web.preview import PreviewStore
from anonymizer.web.report import Report, camera_report, to_json

PLAIN = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"

OPEN_PATHS = frozenset({"/healthz", "/readyz"})  # one word each, for probes that cannot give a password

_STATIC = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_PICTURE = re.compile(r"/cameras/([a-z0-9][a-z0-9_-]{0,62})/(snapshot\.jpg|stream\.mjpeg)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response."""

    status: HTTPStatus
    body: bytes
    content_type: str = PLAIN
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LiveStream:
    """The answer is an endless sequence of pictures of this camera."""

    camera_id: str


@dataclass(frozen=True, slots=True)
class RtspAddress:
    """Where the built-in RTSP server listens; the mount of a camera is `/` and its id."""

    listen: str
    port: int

    def url(self, camera_id: str, own_address: str) -> str:
        """The address for players; `own_address` is the one under which the client that asks reached this machine."""
        host = own_address if self.listen in ("0.0.0.0", "::") else self.listen  # noqa: S104 - a comparison
        return f"rtsp://{f'[{host}]' if ':' in host else host}:{self.port}/{camera_id}"


def text(status: HTTPStatus, words: str, *headers: tuple[str, str]) -> Answer:
    """A short answer in plain text, which must not repeat what the client sent."""
    return Answer(status, f"{words}\n".encode(), headers=headers)


def _load_static() -> dict[str, Answer]:
    folder = files("anonymizer.web") / "static"
    return {
        path: Answer(HTTPStatus.OK, (folder / name).read_bytes(), content_type)
        for path, (name, content_type) in _STATIC.items()
    }


@dataclass(frozen=True, slots=True)
class Site:
    """Answers every request from the state of the cameras and their newest pictures."""

    version: str
    board: StatusBoard
    preview: PreviewStore
    exposition: Callable[[], bytes]
    clock: Clock
    rtsp: RtspAddress | None
    mjpeg_fps: float
    _static: dict[str, Answer] = field(default_factory=_load_static, repr=False)

    def answer(self, path: str, *, seen_tag: str | None, own_address: str) -> Answer | LiveStream:
        """The answer to a GET of `path`, without query; `seen_tag` is the ETag of the picture that the client has."""
        if path in self._static:
            return self._static[path]
        match path:
            case "/healthz":
                return _probe(ok=self.board.healthy(), yes="ok", no="unhealthy")
            case "/readyz":
                return _probe(ok=self.board.ready(), yes="ready", no="not ready")
            case "/metrics":
                return Answer(HTTPStatus.OK, self.exposition(), METRICS)
            case "/api/cameras":
                return Answer(HTTPStatus.OK, to_json(self._report(own_address)), "application/json")
        picture = _PICTURE.fullmatch(path)
        if picture is None:
            return text(HTTPStatus.NOT_FOUND, "There is nothing here.")
        camera_id, kind = picture.groups()
        if all(status.camera_id != camera_id for status in self.board.cameras()):
            return text(HTTPStatus.NOT_FOUND, "There is no camera of this name.")
        return LiveStream(camera_id) if kind == "stream.mjpeg" else self._snapshot(camera_id, seen_tag)

    def _snapshot(self, camera_id: str, seen_tag: str | None) -> Answer:
        picture = self.preview.newest(camera_id)
        if picture is None:
            return text(HTTPStatus.NOT_FOUND, "No picture yet.", ("Retry-After", "1"))
        tag = ("ETag", f'"{picture.tag}"')
        if seen_tag == tag[1]:
            return Answer(HTTPStatus.NOT_MODIFIED, b"", headers=(tag,))
        return Answer(HTTPStatus.OK, picture.jpeg, "image/jpeg", (tag,))

    def _report(self, own_address: str) -> Report:
        now_ns = self.clock.now_ns()
        return Report(
            version=self.version,
            ready=self.board.ready(),
            healthy=self.board.healthy(),
            picture_interval_s=round(1 / self.mjpeg_fps, 3),
            cameras=[
                camera_report(
                    status, now_ns, None if self.rtsp is None else self.rtsp.url(status.camera_id, own_address)
                )
                for status in self.board.cameras()
            ],
        )


def _probe(*, ok: bool, yes: str, no: str) -> Answer:
    return text(HTTPStatus.OK, yes) if ok else text(HTTPStatus.SERVICE_UNAVAILABLE, no)
