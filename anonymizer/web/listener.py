"""HTTP on sockets that clients can't exhaust: bounded connections, a deadline for every read and write.

Every connection has a thread and serves one request. The standard library's parser is enough for GET and HEAD; a
pool of workers as in WSGI servers would be held whole by a few live pictures.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from anonymizer.clock import Clock
from anonymizer.observe.ratelimit import RateLimiter
from anonymizer.ports import Meter
from anonymizer.web.access import Access
from anonymizer.web.site import OPEN_PATHS, Answer, LiveStream, Site, text

REQUEST_TIMEOUT_S = 5.0  # for the whole request line and all headers
SEND_TIMEOUT_S = 5.0  # for one answer or one picture of a stream
SPARE_CONNECTIONS = 32  # for everything but live pictures
STILL_INTERVAL_S = 1.0  # a stream without news repeats its picture, to notice clients that left

OUTPUT = "mjpeg"
QUEUE = "web_connections"

_BOUNDARY = "next-picture"
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
    """What clients may use at most."""

    max_streams: int
    mjpeg_fps: float


class HttpServer(socketserver.TCPServer):
    """Accepts connections; each gets a thread or is turned away."""

    allow_reuse_address = True
    request_queue_size = 32

    def __init__(
        self, family: socket.AddressFamily, address: tuple[str, int], *, site: Site, access: Access, limits: Limits,
        meter: Meter, clock: Clock,
    ) -> None:  # fmt: skip
        self.address_family = family
        self.site, self.access, self.limits, self.meter, self.clock = site, access, limits, meter, clock
        self.stopping = threading.Event()
        self.complaints = RateLimiter(60.0, clock)
        self._connections: dict[threading.Thread, socket.socket] = {}  # touched by the accepting thread only
        self._streams_lock = threading.Lock()
        self._streams: Counter[str] = Counter()
        super().__init__(address, RequestHandler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; when the process is out of descriptors, pause instead of spinning."""
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
        """Log what escaped from a handler; the connection is closed after it."""
        if (held := self.complaints.admit("error")) is not None:
            _log.exception("a web request failed", extra={"client": _host(client_address), "held_back": held})

    @contextlib.contextmanager
    def stream_place(self, camera_id: str) -> Iterator[bool]:
        """A place among the live streams while the context lasts; False: all are taken."""
        with self._streams_lock:
            free = sum(self._streams.values()) < self.limits.max_streams
            if free:
                self._streams[camera_id] += 1
                self.meter.clients(camera_id, OUTPUT, self._streams[camera_id])
        try:
            yield free
        finally:
            if free:
                with self._streams_lock:
                    self._streams[camera_id] -= 1
                    self.meter.clients(camera_id, OUTPUT, self._streams[camera_id])
                    self._streams += Counter()  # drops the zeros

    def hang_up(self, deadline_ns: int) -> None:
        """End all connections and wait for their threads until the deadline; accepting has ended before."""
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
        self.meter.dropped("", QUEUE)
        if (held := self.complaints.admit("full")) is not None:
            _log.warning("too many web connections at once; turned one away", extra={"held_back": held})
        with contextlib.suppress(OSError):
            request.settimeout(0)  # a fresh socket's buffer takes the few bytes, or they are not sent
            request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.shutdown_request(request)


class RequestHandler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: HttpServer
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # answer even what can't be parsed with a status line
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Read with a deadline for the whole request, so that a client that drips bytes gains nothing."""
        super().setup()
        self.rfile.close()
        deadline_ns = self.server.clock.now_ns() + round(REQUEST_TIMEOUT_S * 1e9)
        self.rfile = io.BufferedReader(_DeadlineReader(self.connection, self.server.clock, deadline_ns))

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
        """What the parser refuses; the client's input is not repeated."""
        self.close_connection = True
        status = HTTPStatus(code)
        self.command = getattr(self, "command", None) or "GET"
        if status is HTTPStatus.NOT_IMPLEMENTED:
            allow = ("Allow", "GET, HEAD")
            self._send(text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are understood.", allow))
        else:
            self._send(text(status, status.phrase))

    def version_string(self) -> str:
        """The `Server` header; versions are nobody's business."""
        return "anonymizer"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests are of interest only when debugging."""
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

    def _send_head(self, status: HTTPStatus, headers: Any) -> None:
        self.send_response(status)
        for name, value in (*headers, *_HEADERS):
            self.send_header(name, value)
        self.end_headers()

    def _stream(self, camera_id: str) -> None:
        """Pictures until the client leaves, the camera goes, or we stop; at most `mjpeg_fps` a second."""
        server, preview = self.server, self.server.site.preview
        with server.stream_place(camera_id) as free:
            if not free:
                words = "Too many live pictures are being watched; close one or raise web.max_streams."
                self._send(text(HTTPStatus.SERVICE_UNAVAILABLE, words, ("Retry-After", "5")))
                return
            picture = preview.newest(camera_id)
            if picture is None:
                self._send(text(HTTPStatus.NOT_FOUND, "No picture yet.", ("Retry-After", "1")))
                return
            self._send_head(HTTPStatus.OK, _STREAM_HEADERS)
            self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
            interval_ns = round(1e9 / server.limits.mjpeg_fps)
            while picture is not None and not server.stopping.is_set():
                due_ns = server.clock.now_ns() + interval_ns
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n"
                # The boundary goes out at once: browsers show a picture when they see the end of it.
                part = b"".join((head.encode(), picture.jpeg, f"\r\n--{_BOUNDARY}\r\n".encode()))
                self.wfile.write(part)
                server.meter.bytes_out(camera_id, OUTPUT, len(part))
                if server.stopping.wait(max(0.0, (due_ns - server.clock.now_ns()) / 1e9)):
                    return
                picture = preview.wait(camera_id, after=picture.version, timeout_s=STILL_INTERVAL_S)


_STREAM_HEADERS = (("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}"),)


class _DeadlineReader(io.RawIOBase):
    """A socket's bytes until a moment in time; then TimeoutError, however steadily bytes drip in."""

    def __init__(self, connection: socket.socket, clock: Clock, deadline_ns: int) -> None:
        self._connection = connection
        self._clock = clock
        self._deadline_ns = deadline_ns

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = (self._deadline_ns - self._clock.now_ns()) / 1e9
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left_s)
        return self._connection.recv_into(buffer)


def _host(address: Any) -> str:
    """The IP of a socket address, without the IPv6 disguise of IPv4."""
    return str(address[0]).removeprefix("::ffff:")
