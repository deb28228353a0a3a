"""Notices missing RTP packets, of which libav tells in its log alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

import av.logging

T = TypeVar("T")

_MISSING: Final = "RTP: missed"  # begins the message of libavformat/rtpdec.c, which needs a queue for reordering
# The shortest queue there is: a packet waits in it only if one before it is missing.
QUEUE: Final = {"reorder_queue_size": "2"}


def report_losses() -> None:
    """Make libav log warnings, but keep them out of our log: they may quote addresses with logins. Idempotent."""
    logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
    av.logging.set_skip_repeated(False)  # two cameras may say the same
    av.logging.set_level(av.logging.WARNING)


def noticing_losses(read: Callable[[], T]) -> tuple[T, bool]:
    """What `read` returns, and whether libav found packets missing meanwhile, in this thread."""
    with av.logging.Capture() as logged:
        result = read()
    return result, any(text.startswith(_MISSING) for _, _, text in logged)
