"""Cameras that send MJPEG (or any other format that libav knows) over HTTP."""

from __future__ import annotations

from typing import Final

from anonymizer.capture.connection import LOW_DELAY, Input
from anonymizer.capture.credentials import Credentials, authorised_url
from anonymizer.settings.address import public_address

_PROTOCOLS: Final = "http,https,httpproxy,tcp,tls,crypto"  # a playlist found there must not make us read local files


def http_input(url: str, credentials: Credentials | None) -> Input:
    """How to open a live stream over HTTP; libav recognises `multipart/x-mixed-replace` by itself."""
    return Input(
        where=public_address(url),
        address=authorised_url(url, credentials),
        options={**LOW_DELAY, "protocol_whitelist": _PROTOCOLS},
    )
