"""Starts processes of demo cameras, waits until they answer, and ends them."""

from __future__ import annotations

import select
import subprocess
import sys
import threading
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from anonymizer.demo.reel import Codec
from anonymizer.demo.server import parse_size
from anonymizer.errors import SourceError
from anonymizer.lifecycle import Resource, close_all
from anonymizer.types import Size

_FAREWELL_S = 1.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a demo camera shows."""

    clip: Path | None = None  # None: the virtual camera with its portraits
    size: Size | None = None  # None: 1280x720, or the clip's own
    fps: Fraction | None = None  # None: 15, or the clip's own
    codec: Codec = Codec.H264

    @classmethod
    def from_url(cls, url: str) -> DemoOptions:
        """Read `demo://?clip=PATH&size=1280x720&fps=15&codec=h264`; raises SourceError."""
        parts = urlsplit(url)
        if parts.scheme != "demo" or parts.netloc or parts.path.strip("/"):
            raise SourceError(f"{url} is no demo address; write demo:// or demo://?clip=/path/to/film.mp4")
        try:
            query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            options = cls(
                clip=Path(query.pop("clip")).expanduser() if "clip" in query else None,
                size=parse_size(query.pop("size")) if "size" in query else None,
                fps=_parse_fps(query.pop("fps")) if "fps" in query else None,
                codec=Codec(query.pop("codec", Codec.H264)),
            )
        except ValueError as error:
            raise SourceError(f"{url}: {error}") from error
        if query:
            raise SourceError(f"{url}: unknown option {min(query)!r}; known are clip, size, fps, codec")
        return options


def _parse_fps(text: str) -> Fraction:
    fps = Fraction(text)
    if not 1 <= fps <= 60:
        raise ValueError(f"fps={text} is not between 1 and 60")
    return fps


class DemoCamera(Resource):
    """An RTSP server on 127.0.0.1 in a child process, which ends with this process at the latest."""

    def __init__(
        self,
        options: DemoOptions = DemoOptions(),
        *,
        port: int = 0,
        path: str = "/cam",
        username: str | None = None,
        password: str = "",
    ) -> None:
        """`port` 0 takes a free one; if `username` is given, readers must log in."""
        self._options = options
        self._port = port
        self._path = path
        self._username = username
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._url: str | None = None
        self._lock = threading.Lock()  # held while the process's output is read

    @property
    def url(self) -> str:
        """The address without credentials; raises SourceError before the camera answers."""
        if self._url is None:
            raise SourceError("the demo camera does not answer yet")
        return self._url

    @property
    def pid(self) -> int | None:
        """Process id, None when not started."""
        return None if self._process is None else self._process.pid

    def running(self) -> bool:
        """True from `spawn` until the process ends."""
        return self._process is not None and self._process.poll() is None

    def spawn(self) -> None:
        """Start the process and return at once; the first time the process encodes its film, which takes seconds."""
        command = [sys.executable, "-m", "anonymizer.demo.server", "--until-stdin-ends"]
        command += ["--port", str(self._port), "--path", self._path, "--codec", self._options.codec]
        if self._options.clip is not None:
            command += ["--clip", str(self._options.clip)]
        if self._options.size is not None:
            command += ["--size", str(self._options.size)]
        if self._options.fps is not None:
            command += ["--fps", str(self._options.fps)]
        if self._username is not None:
            command += [f"--user={self._username}", f"--password={self._password}"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C goes to this process alone, which then ends the other in good order
        )

    def wait(self, timeout_s: float) -> bool:
        """True once the camera answers, False if it does not within the time; raises SourceError."""
        with self._lock:
            process = self._process
            if self._url is not None:
                return True
            if process is None or process.stdout is None:
                raise SourceError("the demo camera is closed")
            if not select.select([process.stdout], [], [], timeout_s)[0]:
                return False
            word, _, rest = process.stdout.readline().decode(errors="replace").strip().partition(" ")
            if word == "error":
                raise SourceError(rest)
            if word != "ready":
                raise SourceError("the demo camera's process ended at once; its own message is in the log above")
            self._url = rest
            return True

    def start(self, timeout_s: float = 120.0) -> None:
        """Spawn and wait until the camera answers; raises SourceError."""
        self.spawn()
        try:
            if not self.wait(timeout_s):
                raise SourceError(f"the demo camera did not answer within {timeout_s:.0f} s; is the machine busy?")
        except SourceError:
            self.close()
            raise

    def close(self) -> None:
        """End the process, also one that is suspended; idempotent."""
        process, self._process = self._process, None
        self._url = None
        if process is None:
            return
        process.terminate()  # first ask, for it may have an unfinished film to delete
        try:
            process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with self._lock:  # a `wait` in another thread has returned, because the process has ended
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


class DemoCameras(Resource):
    """The cameras behind demo:// addresses: one process for each address, started when it is first needed."""

    def __init__(self) -> None:
        self._cameras: dict[str, DemoCamera] = {}
        self._closed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Allow cameras to be started."""
        with self._lock:
            self._closed = False

    def rtsp_url(self, demo_url: str, timeout_s: float) -> str:
        """The rtsp:// address of a demo:// address; starts its process if none runs.

        Raises SourceError, also if the film is still being encoded after `timeout_s`; ask again later.
        """
        options = DemoOptions.from_url(demo_url)
        with self._lock:
            if self._closed:
                raise SourceError("the demo cameras are closed")
            camera = self._cameras.get(demo_url)
            if camera is None or not camera.running():
                if camera is not None:
                    camera.close()
                camera = DemoCamera(options)
                camera.spawn()
                self._cameras[demo_url] = camera
        if not camera.wait(timeout_s):
            raise SourceError("the demo camera is still encoding its film, which happens once")
        return camera.url

    def keep(self, demo_urls: AbstractSet[str]) -> None:
        """End the processes of all other addresses."""
        with self._lock:
            unused = [self._cameras.pop(url) for url in self._cameras.keys() - demo_urls]
        close_all(unused)

    def close(self) -> None:
        """End all processes; idempotent."""
        with self._lock:
            self._closed = True
            cameras, self._cameras = list(self._cameras.values()), {}
        close_all(cameras)
