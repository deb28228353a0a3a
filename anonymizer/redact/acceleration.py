"""Switches IPP, Intel's kernels, on or off in OpenCV: some functions are faster with it, some slower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def ipp(*, wanted: bool) -> Iterator[None]:
    """Runs the block with or without IPP in this thread, then restores the setting."""
    used = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(wanted)
    try:
        yield
    finally:
        cv2.ipp.setUseIPP(used)
