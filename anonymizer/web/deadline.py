"""Reads a request from a socket within a limited time, however slowly its bytes arrive."""

from __future__ import annotations

import io
import socket
from typing import Any

from anonymizer.clock import Clock


class DeadlineReader(io.RawIOBase):
    """The bytes of a socket until `deadline_ns` of the clock; raises TimeoutError from then on."""

    def __init__(self, connection: socket.socket, clock: Clock, deadline_ns: int) -> None:
        self._connection = connection
        self._clock = clock
        self._deadline_ns = deadline_ns

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive what there is into the buffer; 0 at the end."""
        left_s = (self._deadline_ns - self._clock.now_ns()) / 1e9
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left_s)
        return self._connection.recv_into(buffer)
