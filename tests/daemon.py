"""The real daemon in a process of its own, as systemd would run it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: str, check: Callable[[], Any], timeout_s: float, *, every_s: float = 0.1) -> Any:
    """The first truthy value of `check`; fails with `what` after the time-out. Polls another process."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if value := check():
                return value
        except (OSError, KeyError):
            pass
        pause.wait(every_s)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class RunningDaemon:
    """`anonymizer run` with a settings file of its own; the log goes to `folder/log.txt`."""

    def __init__(self, folder: Path, cameras: list[dict[str, Any]], **sections: Any) -> None:
        self.rtsp_port, self.web_port = free_port(), free_port()
        self.path = folder / "anonymizer.yaml"
        self._log_path = folder / "log.txt"
        self._sections = sections
        self._process: subprocess.Popen[bytes] | None = None
        self.write(cameras)

    def write(self, cameras: list[dict[str, Any]]) -> None:
        """Change the settings file."""
        content = {"cameras": cameras, "rtsp": {"port": self.rtsp_port}, "web": {"port": self.web_port}}
        self.path.write_text(yaml.safe_dump(content | self._sections))

    def start(self) -> None:
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "anonymizer", "run", "--config", str(self.path)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def reload(self) -> None:
        """SIGHUP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self, timeout_s: float = 15) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of the page's answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def camera_ids(self) -> list[str]:
        """The cameras that the page lists."""
        return [camera["id"] for camera in json.loads(self.get("/api/cameras")[1])["cameras"]]

    def camera(self, camera_id: str) -> dict[str, Any]:
        """What the page says about a camera; KeyError if it does not list it."""
        for camera in json.loads(self.get("/api/cameras")[1])["cameras"]:
            if camera["id"] == camera_id:
                return dict(camera)
        raise KeyError(camera_id)

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric that carry these labels."""
        total = 0.0
        for line in self.get("/metrics")[1].decode().splitlines():
            head, _, value = line.rpartition(" ")
            if head.split("{")[0] == name and all(f'{key}="{text}"' in head for key, text in labels.items()):
                total += float(value)
        return total

    def url(self, camera_id: str) -> str:
        return f"rtsp://127.0.0.1:{self.rtsp_port}/{camera_id}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
