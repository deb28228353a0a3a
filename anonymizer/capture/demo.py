"""demo:// addresses: played by a local camera that somebody else owns, read like any RTSP camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from anonymizer.capture.connection import Input
from anonymizer.capture.rtsp import rtsp_input
from anonymizer.settings.schema import Transport


class DemoDirectory(Protocol):
    """Knows the real address behind a demo:// address."""

    def rtsp_url(self, demo_url: str, timeout_s: float) -> str:
        """The rtsp:// address, its server started; raises SourceError when it does not answer in time."""
        ...


def demo_input(url: str, directory: DemoDirectory, transport: Transport, timeout_s: float) -> Input:
    """How to open a demo camera; waits for its start; raises SourceError."""
    return replace(rtsp_input(directory.rtsp_url(url, timeout_s), None, transport), where="demo camera")
