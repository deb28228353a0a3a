"""Types of values on the command line: each turns a text into a value, or raises an error that says what to write."""

from __future__ import annotations

import argparse
import datetime
import math
from collections.abc import Callable

from anonymizer.types import Size


def share(text: str) -> float:
    """A number between 0 and 1, both excluded."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number between 0 and 1")
    return value


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of a whole number from `least` to `most`, both included."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            limits = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text} is no whole number {limits}")
        return value

    return read


def colour(text: str) -> tuple[int, int, int]:
    """Levels of B, G, R, 0-255, parted by commas."""
    levels = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(levels) != 3 or text.count(",") != 2 or max(levels) > 255:
        raise argparse.ArgumentTypeError(f"{text} is no colour; write three levels of 0 to 255, such as 255,0,255")
    return levels[0], levels[1], levels[2]


def day(text: str) -> datetime.date:
    """A date, year first."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day; write 2027-06-30") from None


def picture_size(text: str) -> Size:
    """Width and height in pixels, both even."""
    width, _, height = text.partition("x")
    size = Size(int(width), int(height)) if width.isdecimal() and height.isdecimal() else Size(0, 0)
    if not (64 <= size.width <= 7680 and 64 <= size.height <= 4320) or size.width % 2 or size.height % 2:
        raise argparse.ArgumentTypeError(f"{text} is no size of pictures; write 1920x1080, both numbers even")
    return size
