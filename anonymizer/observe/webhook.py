"""Tells a web address about findings of the audit: JSON, never pictures, never in anybody's way."""

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

_WAITING = 16
_TIMEOUT_S = 5.0


class Webhook(Resource):
    """Posts each finding once, from a thread of its own. Overflow rule: the new finding is dropped and counted."""

    def __init__(self, url: str, meter: Meter) -> None:
        """`url` may hold secrets, a login among them: it is never logged."""
        self._url, self._headers = _without_login(url)
        self._opener = urllib.request.build_opener(_StayingHere)
        self._meter = meter
        self._queue: queue.Queue[AuditFinding | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread; nothing is sent yet."""
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, at the latest when the request under way times out; idempotent."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):  # then the thread has something to wake up for
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


class _StayingHere(urllib.request.HTTPRedirectHandler):
    """An address that sends us elsewhere has failed: followed, a POST becomes a GET without the finding."""

    def redirect_request(self, *_redirection: object) -> None:
        """Nowhere."""


def _without_login(url: str) -> tuple[str, dict[str, str]]:
    """The address as urllib takes it, and the login that was in it as headers."""
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
