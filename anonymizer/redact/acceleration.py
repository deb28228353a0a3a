"""Whether OpenCV uses IPP, Intel's kernels, in which some of its functions are slower and some faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def ipp(*, wanted: bool) -> Iterator[None]:
    """In this thread, with or without it; afterwards as it was."""
    used = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(wanted)
    try:
        yield
    finally:
        cv2.ipp.setUseIPP(used)
