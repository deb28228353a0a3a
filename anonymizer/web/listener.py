"""HTTP that clients cannot exhaust: bounded connections, a deadline for every read and write.

Every connection has a thread of its own and serves one request. The standard library's parser is enough for GET and
HEAD. A pool of workers, as in WSGI servers, would be used up by a few clients that watch live pictures.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import socketserver
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from anonymizer.clock import Clock
from anonymizer.observe.ratelimit import RateLimiter
from anonymizer.ports import Meter
from anonymizer.web.access import Access
from anonymizer.web.deadline import DeadlineReader
from anonymizer.web.places import OUTPUT, StreamPlaces
from anonymizer.web.preview import Picture
from anonymizer.web.site import OPEN_PATHS, Answer, LiveStream, Site, text

REQUEST_TIMEOUT_S = 5.0  # for the whole request line and all headers
SEND_TIMEOUT_S = 5.0  # for one answer or one picture of a stream
SPARE_CONNECTIONS = 32  # for everything but live pictures
STILL_INTERVAL_S = 1.0  # a stream without new pictures repeats the last one, to notice clients that left

_QUEUE = "web_connections"  # label in the metrics

_BOUNDARY = "next-picture"
_STREAM_HEADERS = (("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}"),)
_HEADERS = (
    ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use of live pictures."""

    max_streams: int  # at a time
    mjpeg_fps: float


class HttpServer(socketserver.TCPServer):
    """Accepts connections; each gets a thread or is turned away."""

    allow_reuse_address = True
    request_queue_size = 32

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        *,
        site: Site,
        access: Access,
        limits: Limits,
        meter: Meter,
        clock: Clock,
    ) -> None:
        """Bind and listen, as the base class does; raises OSError."""
        self.address_family = family
        self.site = site
        self.access = access
        self.limits = limits
        self.meter = meter
        self.clock = clock
        self.places = StreamPlaces(limits.max_streams, meter)
        self.stopping = threading.Event()
        self.complaints = RateLimiter(60.0, clock)
        self._connections: dict[threading.Thread, socket.socket] = {}  # touched by the accepting thread only
        super().__init__(address, RequestHandler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; without a free descriptor, pause instead of trying again at once."""
        try:
            return super().get_request()
        except OSError:
            self.stopping.wait(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection on a thread of its own, or turn it away if there are too many."""
        self._connections = {thread: sock for thread, sock in self._connections.items() if thread.is_alive()}
        if len(self._connections) >= self.limits.max_streams + SPARE_CONNECTIONS:
            self._turn_away(request)
            return
        thread = threading.Thread(target=self._serve, args=(request, client_address), name="web-client", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no thread left
            self._turn_away(request)
        else:
            self._connections[thread] = request

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the exception of a handler, whose connection is closed then."""
        if (held := self.complaints.admit("error")) is not None:
            _log.exception("a web request failed", extra={"client": _host(client_address), "held_back": held})

    def hang_up(self, deadline_ns: int) -> None:
        """End all connections and wait for their threads until the deadline; call it when no more are accepted."""
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._connections:
            thread.join(max(0.0, (deadline_ns - self.clock.now_ns()) / 1e9))

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except (TimeoutError, ConnectionError):
            pass  # the client left or is too slow
        except Exception:  # noqa: BLE001 - a thread's boundary: log it, close this connection, serve the others
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)

    def _turn_away(self, request: socket.socket) -> None:
        self.meter.dropped("", _QUEUE)
        if (held := self.complaints.admit("full")) is not None:
            _log.warning("too many web connections at once; turned one away", extra={"held_back": held})
        with contextlib.suppress(OSError):
            request.settimeout(0)  # these few bytes fit into the buffer of a new socket; else they are not sent
            request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.shutdown_request(request)


class RequestHandler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: HttpServer
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # so that requests that cannot be parsed get a status line, too
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Set a deadline for the whole request: a client that sends byte by byte must not keep its place for long."""
        super().setup()
        self.rfile.close()
        deadline_ns = self.server.clock.now_ns() + round(REQUEST_TIMEOUT_S * 1e9)
        self.rfile = io.BufferedReader(DeadlineReader(self.connection, self.server.clock, deadline_ns))

    def do_GET(self) -> None:
        """Answer a GET or HEAD."""
        self.close_connection = True
        self.connection.settimeout(SEND_TIMEOUT_S)
        path = self.path.partition("?")[0]
        answer = self._refusal(path) or self._answer(path)
        if isinstance(answer, Answer):
            self._send(answer)
        elif self.command == "HEAD":
            self._send_head(HTTPStatus.OK, _STREAM_HEADERS)
        else:
            self._stream(answer.camera_id)

    do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the parser refuses, without repeating the client's input."""
        self.close_connection = True
        status = HTTPStatus(code)
        self.command = getattr(self, "command", None) or "GET"
        if status is HTTPStatus.NOT_IMPLEMENTED:
            allow = ("Allow", "GET, HEAD")
            self._send(text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are understood.", allow))
        else:
            self._send(text(status, status.phrase))

    def version_string(self) -> str:
        """The `Server` header, without versions."""
        return "anonymizer"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log a request at level debug."""
        _log.debug(format, *args, extra={"client": _host(self.client_address)})

    def _refusal(self, path: str) -> Answer | None:
        if path in OPEN_PATHS:
            return None
        access, authorization = self.server.access, self.headers.get("Authorization")
        if not access.is_own_host(self.headers.get("Host")):
            words = "Open this page as http://127.0.0.1 or localhost, or set web.username and web.password_file."
            return text(HTTPStatus.FORBIDDEN, words)
        if access.knows(authorization):
            return None
        if authorization and (held := self.server.complaints.admit("password")) is not None:
            extra = {"client": _host(self.client_address), "held_back": held}
            _log.warning("somebody gave a wrong password for the status page", extra=extra)
        challenge = ("WWW-Authenticate", 'Basic realm="anonymizer", charset="UTF-8"')
        return text(HTTPStatus.UNAUTHORIZED, "A password is needed.", challenge)

    def _answer(self, path: str) -> Answer | LiveStream:
        own_address = _host(self.connection.getsockname())
        try:
            return self.server.site.answer(path, seen_tag=self.headers.get("If-None-Match"), own_address=own_address)
        except Exception:  # noqa: BLE001 - the request's boundary: say 500, log it, keep serving
            self.server.handle_error(self.connection, self.client_address)
            return text(HTTPStatus.INTERNAL_SERVER_ERROR, "This failed; the log has the reason.")

    def _send(self, answer: Answer) -> None:
        headers = [*answer.headers]
        if answer.status is not HTTPStatus.NOT_MODIFIED:
            headers += [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        self._send_head(answer.status, headers)
        if self.command != "HEAD" and answer.body:
            self.wfile.write(answer.body)

    def _send_head(self, status: HTTPStatus, headers: Iterable[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in (*headers, *_HEADERS):
            self.send_header(name, value)
        self.end_headers()

    def _stream(self, camera_id: str) -> None:
        """Send live pictures, if there is a place left and a picture to begin with."""
        with self.server.places.take(camera_id) as free:
            if not free:
                words = "Too many live pictures are being watched; close one or raise web.max_streams."
                self._send(text(HTTPStatus.SERVICE_UNAVAILABLE, words, ("Retry-After", "5")))
                return
            picture = self.server.site.preview.newest(camera_id)
            if picture is None:
                self._send(text(HTTPStatus.NOT_FOUND, "No picture yet.", ("Retry-After", "1")))
                return
            self._send_head(HTTPStatus.OK, _STREAM_HEADERS)
            self._send_pictures(camera_id, picture)

    def _send_pictures(self, camera_id: str, first: Picture) -> None:
        """Send pictures until the client leaves, the camera goes, or the server stops; at most `mjpeg_fps` a second."""
        server = self.server
        picture: Picture | None = first
        interval_ns = round(1e9 / server.limits.mjpeg_fps)
        self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
        while picture is not None and not server.stopping.is_set():
            due_ns = server.clock.now_ns() + interval_ns
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n"
            # The boundary goes with the picture that it ends, because browsers show a picture when they see its end.
            part = b"".join((head.encode(), picture.jpeg, f"\r\n--{_BOUNDARY}\r\n".encode()))
            self.wfile.write(part)
            server.meter.bytes_out(camera_id, OUTPUT, len(part))
            if server.stopping.wait(max(0.0, (due_ns - server.clock.now_ns()) / 1e9)):
                return
            picture = server.site.preview.wait(camera_id, after=picture.version, timeout_s=STILL_INTERVAL_S)


def _host(address: Any) -> str:
    """The IP address of a socket address; IPv4 addresses may come as IPv6 (`::ffff:192.0.2.1`)."""
    return str(address[0]).removeprefix("::ffff:")
