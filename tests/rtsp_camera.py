"""A real RTSP camera for tests, in a child process that can be killed, frozen, thawed and restarted."""

from __future__ import annotations

import os
import signal
from fractions import Fraction
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

from anonymizer.demo.camera import DemoCamera, DemoOptions
from anonymizer.demo.reel import Codec
from anonymizer.types import Size


class RtspCamera:
    """Plays `clip`, or the virtual camera (by default small, 320x180 at 15 fps, so that it encodes in no time).

    `with RtspCamera(codec="h265") as camera: camera.url`. `url` holds the credentials if a username is given.
    """

    def __init__(
        self,
        clip: Path | None = None,
        *,
        port: int = 0,
        codec: str = "h264",
        size: Size | None = None,
        fps: Fraction | None = None,
        path: str = "/cam",
        username: str | None = None,
        password: str = "",
    ) -> None:
        if clip is None:
            size, fps = size or Size(320, 180), fps or Fraction(15)
        self._options = DemoOptions(clip, size, fps, Codec(codec))
        self._login = (username, password)
        self._path = path
        self._port = port
        self._camera: DemoCamera | None = None

    def start(self) -> None:
        """Start the process; returns when it answers."""
        username, password = self._login
        camera = DemoCamera(self._options, port=self._port, path=self._path, username=username, password=password)
        camera.start()
        self._camera = camera
        self._port = urlsplit(camera.url).port or 0

    @property
    def port(self) -> int:
        """TCP port; the same after a restart."""
        return self._port

    @property
    def url(self) -> str:
        """rtsp:// address, also valid while the camera is dead."""
        username, password = self._login
        login = "" if username is None else f"{quote(username, safe='')}:{quote(password, safe='')}@"
        return f"rtsp://{login}127.0.0.1:{self._port}{self._path}"

    def kill(self) -> None:
        """kill -9, as a power cut."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def restart(self) -> None:
        """Kill it if it lives, and start again on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connected, but silent."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._camera is None or self._camera.pid is None:
            raise RuntimeError("the camera does not run")
        os.kill(self._camera.pid, number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
