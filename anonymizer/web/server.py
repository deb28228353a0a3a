"""Starts and stops the web server; stopping takes two seconds at most."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable

from anonymizer.clock import Clock
from anonymizer.errors import PublishError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Meter, StatusBoard
from anonymizer.settings.schema import WebSettings
from anonymizer.web.access import Access
from anonymizer.web.listener import HttpServer, Limits
from anonymizer.web.preview import PreviewStore
from anonymizer.web.site import RtspAddress, Site

ACCEPT_POLL_S = 0.2  # how soon `close` is noticed
CLOSE_TIMEOUT_S = 1.8

_log = logging.getLogger(__name__)


class WebServer(Resource):
    """Status page, live pictures, metrics and health over HTTP."""

    def __init__(
        self,
        settings: WebSettings,
        *,
        board: StatusBoard,
        preview: PreviewStore,
        exposition: Callable[[], bytes],
        meter: Meter,
        clock: Clock,
        version: str,
        rtsp: RtspAddress | None,
    ) -> None:
        """`exposition` renders the metrics; `rtsp` is where viewers find the streams, None if that is switched off."""
        self._settings = settings
        self._board = board
        self._preview = preview
        self._exposition = exposition
        self._meter = meter
        self._clock = clock
        self._version = version
        self._rtsp = rtsp
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; raises PublishError if the port is taken, or others could look without a password."""
        settings = self._settings
        password = settings.password.get_secret_value() if settings.password else None
        access = Access(settings.listen, settings.username, password)
        wanted = settings.username or settings.password or settings.password_file
        if wanted and not access.guarded:
            raise PublishError("web.username and web.password_file need each other; set both or none")
        if not settings.loopback and not access.guarded:
            raise PublishError(
                f"web.listen is {settings.listen}: other machines could look without a password; "
                "set web.username and web.password_file, or listen on 127.0.0.1"
            )
        site = Site(
            version=self._version,
            board=self._board,
            preview=self._preview,
            exposition=self._exposition,
            clock=self._clock,
            rtsp=self._rtsp,
            mjpeg_fps=settings.mjpeg_fps,
        )
        self._server = self._listen(site, access)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(ACCEPT_POLL_S,), name="web", daemon=True
        )
        self._thread.start()
        _log.info("the status page is at %s", self.url)

    def close(self) -> None:
        """Stop listening and end all connections; idempotent."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is None or thread is None:
            return
        deadline_ns = self._clock.now_ns() + round(CLOSE_TIMEOUT_S * 1e9)
        server.stopping.set()
        server.shutdown()
        server.server_close()
        server.hang_up(deadline_ns)
        thread.join()

    @property
    def port(self) -> int:
        """The port that it listens on; raises PublishError before `start`."""
        if self._server is None:
            raise PublishError("the web server is not running; start it first")
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address of the page, for a browser on this machine; raises PublishError before `start`."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.listen, self._settings.listen)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def _listen(self, site: Site, access: Access) -> HttpServer:
        listen, port = self._settings.listen, self._settings.port
        host = "127.0.0.1" if listen == "localhost" else listen
        limits = Limits(max_streams=self._settings.max_streams, mjpeg_fps=self._settings.mjpeg_fps)
        try:
            return HttpServer(
                socket.AF_INET6 if ":" in host else socket.AF_INET,
                (host, port),
                site=site,
                access=access,
                limits=limits,
                meter=self._meter,
                clock=self._clock,
            )
        except OSError as exc:
            raise PublishError(_explain(exc, listen, port)) from exc


def _explain(exc: OSError, listen: str, port: int) -> str:
    where = f"the status page can't listen on {listen} port {port}"
    match exc.errno:
        case errno.EADDRINUSE:
            return f"{where}: another program has the port; stop it or choose another web.port"
        case errno.EACCES:
            return f"{where}: ports below 1024 need a privilege; choose a web.port of 1024 or more"
        case errno.EADDRNOTAVAIL:
            return f"{where}: this machine has no such address; correct web.listen"
        case _:
            return f"{where}: {exc.strerror or exc}; check web.listen and web.port"
