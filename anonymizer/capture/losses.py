"""Packets of a camera that are missing: libav tells of them in its log alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

import av.logging

T = TypeVar("T")

# The message of libavformat/rtpdec.c. It comes once there is a queue for packets that overtake others.
_MISSING: Final = "RTP: missed"
QUEUE: Final = {"reorder_queue_size": "2"}  # the least that is one; only a packet that comes after a gap waits there


def listen() -> None:
    """Have libav speak; idempotent. What nobody asked for is not passed on: it may quote addresses with logins."""
    logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
    av.logging.set_skip_repeated(False)  # another camera may have said the same
    av.logging.set_level(av.logging.WARNING)


def attentive(read: Callable[[], T]) -> tuple[T, bool]:
    """What `read` returns, and whether packets were found missing meanwhile, in this thread."""
    with av.logging.Capture() as said:
        result = read()
    return result, any(text.startswith(_MISSING) for _, _, text in said)
