"""Writes to a pipe whose reader may stall, without ever waiting longer than a limit."""

from __future__ import annotations

import os
import select
from collections.abc import Callable


def write_within(descriptor: int, data: bytes, *, limit_s: float, now_ns: Callable[[], int]) -> None:
    """Write all of `data` to a non-blocking descriptor; raises TimeoutError after `limit_s`, BrokenPipeError."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    deadline_ns = now_ns() + round(limit_s * 1e9)
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            left_ms = (deadline_ns - now_ns()) // 1_000_000
            if left_ms <= 0 or not poller.poll(left_ms):
                raise TimeoutError(f"nothing was taken for {limit_s:g} s") from None
