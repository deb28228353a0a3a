"""A real Prometheus reads /metrics, with the password, and answers questions about it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from pydantic import SecretStr

from anonymizer.clock import SystemClock
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.settings.schema import WebSettings
from anonymizer.types import CameraStatus, Reason
from anonymizer.web.preview import PreviewStore
from anonymizer.web.server import WebServer

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: anonymizer
    basic_auth: {{username: viewer, password: hunter2}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
PATIENCE_S = 30.0


class EmptyBoard:
    def cameras(self) -> list[CameraStatus]:
        return []

    def ready(self) -> bool:
        return True

    def healthy(self) -> bool:
        return True


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def query(port: int, question: str) -> list[float]:
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': question})}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return [float(result["value"][1]) for result in json.load(answer)["data"]["result"]]


@pytest.mark.e2e
def test_prometheus_scrapes_the_metrics_behind_the_password(tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is missing: apt-get install prometheus")
    meter = PrometheusMeter(version="1.2.3", runtime="none")
    meter.remember("door")
    for _ in range(3):
        meter.whole_frame("door", Reason.STALE)
    settings = WebSettings(username="viewer", password=SecretStr("hunter2")).model_copy(update={"port": 0})
    web = WebServer(
        settings,
        board=EmptyBoard(),
        preview=PreviewStore(quality=75, max_width_px=1280),
        exposition=meter.exposition,
        meter=meter,
        clock=SystemClock(),
        version="1.2.3",
        rtsp=None,
    )
    with web:
        config, port = tmp_path / "prometheus.yml", free_port()
        config.write_text(CONFIG.format(port=web.port))
        arguments = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        with (tmp_path / "log").open("w") as log, subprocess.Popen(arguments, stdout=log, stderr=log) as prometheus:
            try:
                stale = wait_for(port, 'anonymizer_whole_frame_masks_total{camera="door",reason="stale"}', prometheus)
                assert stale == [3]
                assert query(port, 'up{job="anonymizer"}') == [1]
                assert query(port, 'anonymizer_build_info{version="1.2.3"}') == [1]
            finally:
                prometheus.kill()


def wait_for(port: int, question: str, prometheus: subprocess.Popen[bytes]) -> list[float]:
    """The first answer that is not empty."""
    tick, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while prometheus.poll() is None and time.monotonic() < deadline:
        try:
            if answer := query(port, question):
                return answer
        except OSError:
            pass  # still starting
        tick.wait(0.1)
    pytest.fail(f"Prometheus gave no answer within {PATIENCE_S:.0f} s")
