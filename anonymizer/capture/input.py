"""What libav needs to open one camera or file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

# libav looks at 0.1 s of the stream before it hands out the first picture, instead of at five seconds.
LOW_DELAY: Final = {"fpsprobesize": "0", "analyzeduration": "100000"}


@dataclass(frozen=True, slots=True)
class Input:
    """An address with libav's demuxer and options for it."""

    where: str  # the address as logs may show it, without login and keys
    address: SecretStr
    format: str | None = None  # libav's demuxer; None: libav finds out
    options: Mapping[str, str] = field(default_factory=dict)
    live: bool = True  # False: a file, where arrival times mean nothing
