"""A relay in front of an RTSP camera that leaves out packets, as cameras do whose connection is full."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self
from urllib.parse import urlsplit

_VIDEO = 0  # interleaved channel (RFC 2326, 10.12) of the first stream's RTP; 1 is its RTCP


class LossyRelay:
    """For one reader over TCP. `lose` has the next packet of video left out that is not the last of its picture."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._camera = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(netloc=f"127.0.0.1:{self._listener.getsockname()[1]}").geturl()
        self._lose = threading.Event()
        self._sockets = [self._listener]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def lose(self) -> None:
        self._lose.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            reader = self._listener.accept()[0]
            camera = socket.create_connection(self._camera)
            self._sockets += [reader, camera]
            threading.Thread(target=self._forward, args=(reader, camera), daemon=True).start()
            answers = camera.makefile("rb")
            while start := answers.read(1):
                if start == b"$":
                    head = answers.read(3)
                    body = answers.read(int.from_bytes(head[1:], "big"))
                    is_last = bool(body[1] & 0x80)  # the marker (RFC 6184, 5.1)
                    if head[0] == _VIDEO and not is_last and self._lose.is_set():
                        self._lose.clear()
                        continue
                    reader.sendall(start + head + body)
                else:
                    reader.sendall(start + answers.readline())

    @staticmethod
    def _forward(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                to.sendall(data)
