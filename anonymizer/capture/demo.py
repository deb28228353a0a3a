"""demo:// addresses: a local process plays a film over RTSP, and it is read like any RTSP camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from anonymizer.capture.input import Input
from anonymizer.capture.rtsp import rtsp_input
from anonymizer.settings.schema import Transport


class DemoDirectory(Protocol):
    """Finds the real address of a demo:// address."""

    def rtsp_url(self, demo_url: str, timeout_s: float) -> str:
        """Start the server if need be and return its rtsp:// address; raises SourceError if it does not answer."""
        ...


def demo_input(url: str, directory: DemoDirectory, transport: Transport, timeout_s: float) -> Input:
    """How to open a demo camera; waits for its start; raises SourceError."""
    return replace(rtsp_input(directory.rtsp_url(url, timeout_s), None, transport), where="demo camera")
