"""Numbers of the command line, each with the range that it may have."""

from __future__ import annotations

import argparse

LEAST_ZOOM, MOST_ZOOM = 0.01, 10.0


def count(text: str) -> int:
    """A whole number, 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def natural(text: str) -> int:
    """A whole number, 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def share(text: str) -> float:
    """A number from 0 to 1: a share, or a score."""
    return _within(text, 0.0, 1.0)


def amount(text: str) -> float:
    """A number, 0 or more."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def zoom(text: str) -> float:
    """How much a picture is enlarged."""
    return _within(text, LEAST_ZOOM, MOST_ZOOM)


def _within(text: str, least: float, most: float) -> float:
    value = float(text)
    if not least <= value <= most:  # so that NaN is refused too
        raise argparse.ArgumentTypeError(f"must be from {least:g} to {most:g}")
    return value
