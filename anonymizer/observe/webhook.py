"""Posts findings of the audit to a web address: JSON, never pictures, never blocking the sender."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import queue
import threading
import urllib.request
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from anonymizer.lifecycle import Resource
from anonymizer.ports import Meter
from anonymizer.types import AuditFinding

log = logging.getLogger(__name__)

_QUEUE_FINDINGS = 16
_TIMEOUT_S = 5.0


class Webhook(Resource):
    """Posts each finding, tried once, in a thread of its own. Overflow rule: the new finding is dropped, counted."""

    def __init__(self, url: str, meter: Meter) -> None:
        """`url` may hold secrets, a login among them: it is never logged."""
        self._url, self._headers = _without_login(url)
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._meter = meter
        self._queue: queue.Queue[AuditFinding | None] = queue.Queue(_QUEUE_FINDINGS)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread; nothing is sent yet."""
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, at the latest when the current request times out; idempotent."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):  # a full queue wakes the thread as well
                self._queue.put_nowait(None)
            thread.join(_TIMEOUT_S + 1)

    def send(self, finding: AuditFinding) -> None:
        """Queue a finding; never blocks."""
        try:
            self._queue.put_nowait(finding)
        except queue.Full:
            self._meter.dropped(finding.camera_id, "webhook")

    def _run(self) -> None:
        while not self._stop.is_set():
            finding = self._queue.get()
            if finding is not None and not self._stop.is_set():
                self._post(finding)

    def _post(self, finding: AuditFinding) -> None:
        request = urllib.request.Request(  # noqa: S310 - the settings allow http and https only
            self._url, data=_body(finding), headers={"Content-Type": "application/json", **self._headers}, method="POST"
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S):
                pass
        except (OSError, ValueError, http.client.HTTPException) as error:  # any of their texts could quote the address
            self._meter.webhook_failed(finding.camera_id)
            log.warning("camera %s: audit.webhook_url did not take a finding (%s)", finding.camera_id, _kind(error))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirection an error: urllib would follow it with a GET, without the finding."""

    def redirect_request(self, *_redirection: object) -> None:
        """Never follow."""


def _without_login(url: str) -> tuple[str, dict[str, str]]:
    """The address without its login, which urllib does not understand, and the login as headers."""
    parts = urlsplit(url)
    login, found, place = parts.netloc.rpartition("@")
    headers = {"Authorization": f"Basic {base64.b64encode(unquote(login).encode()).decode()}"} if found else {}
    return parts._replace(netloc=place).geturl(), headers


def _body(finding: AuditFinding) -> bytes:
    fields = {
        "event": "audit_finding",
        "camera": finding.camera_id,
        "time": datetime.fromtimestamp(finding.wall_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "width": finding.size.width,
        "height": finding.size.height,
        "faces": [[round(edge) for edge in box] for box in finding.boxes],
    }
    return json.dumps(fields).encode()


def _kind(error: Exception) -> str:
    code = getattr(error, "code", None)
    if code is None:
        return type(error).__name__
    return f"HTTP {code}" if code // 100 != 3 else f"HTTP {code}: it sends elsewhere; give the address that it means"
