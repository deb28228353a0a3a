"""The protocol between a push and its child process: first the URL, then packets, each with its length before it."""

from __future__ import annotations

import struct
from typing import BinaryIO

_URL = struct.Struct(">I")
_PACKET = struct.Struct(">qI")  # PTS in ns, length

GOODBYE = _PACKET.pack(0, 0)
CONNECTED = b"+"  # the child's answer when the server has taken the first packet; if it fails, the reason follows


def pack_url(url: str) -> bytes:
    """The first message."""
    data = url.encode()
    return _URL.pack(len(data)) + data


def pack_packet(pts_ns: int, data: bytes) -> bytes:
    """Every further message; `data` must not be empty, for that is GOODBYE."""
    return _PACKET.pack(pts_ns, len(data)) + data


def read_url(stream: BinaryIO) -> str:
    """Read the first message; raises EOFError if the stream ends before it does."""
    (size,) = _URL.unpack(_read(stream, _URL.size))
    return _read(stream, size).decode()


def read_packet(stream: BinaryIO) -> tuple[int, bytes]:
    """Read a further message: PTS in ns and data, empty for GOODBYE; raises EOFError if the stream ends before it."""
    pts_ns, size = _PACKET.unpack(_read(stream, _PACKET.size))
    return pts_ns, _read(stream, size)


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
