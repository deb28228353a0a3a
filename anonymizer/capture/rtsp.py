"""RTSP cameras: rtsp:// and rtsps://, over TCP or UDP."""

from __future__ import annotations

from typing import Final

from anonymizer.capture.connection import LOW_DELAY, Input
from anonymizer.capture.credentials import Credentials, authorised_url
from anonymizer.capture.losses import QUEUE
from anonymizer.settings.address import public_address
from anonymizer.settings.schema import Transport

_VIDEO_ONLY: Final = {"allowed_media_types": "video"}  # sound is neither fetched nor waited for
_BY_TRANSPORT: Final = {
    # Over TCP nothing overtakes anything, but cameras and relays leave packets out when the connection is full.
    Transport.TCP: {"rtsp_transport": "tcp", "max_delay": "0", **QUEUE},
    # Packets may overtake each other for 100 ms; a key frame of 4K must fit into the socket's buffer.
    Transport.UDP: {"rtsp_transport": "udp", "max_delay": "100000", "buffer_size": "4194304"},
}


def rtsp_input(url: str, credentials: Credentials | None, transport: Transport) -> Input:
    """How to open an RTSP camera with little delay."""
    return Input(
        where=public_address(url),
        address=authorised_url(url, credentials),
        format="rtsp",
        options=LOW_DELAY | _VIDEO_ONLY | _BY_TRANSPORT[transport],
    )
