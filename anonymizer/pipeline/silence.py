"""When viewers of a camera that sends nothing are given a placeholder, and of which size."""

from __future__ import annotations

from anonymizer.types import LinkState, Size

_AWAY_PAUSE_NS = 1_000_000_000  # first placeholder after the camera went away
_SILENT_PAUSE_NS = 3_000_000_000  # first placeholder when a connected camera sends nothing
_PLACEHOLDER_PAUSE_NS = 500_000_000  # between placeholders
_PLACEHOLDER_SIZE = Size(1280, 720)


class Silence:
    """Of one camera; used by one thread."""

    def __init__(self, now_ns: int) -> None:
        self.size = _PLACEHOLDER_SIZE  # of the newest picture
        self._link = LinkState.CONNECTING
        self._placeholders = 0  # since the newest picture
        self._sent_ns = now_ns

    def link(self, state: LinkState) -> None:
        """The connection to the camera changed."""
        self._link = state

    def broken(self, size: Size, now_ns: int) -> None:
        """Viewers got a picture of the camera."""
        self.size, self._placeholders, self._sent_ns = size, 0, now_ns

    def placeholder(self, now_ns: int) -> int:
        """They get a placeholder; its number, which falls, for frames count upward."""
        self._placeholders, self._sent_ns = self._placeholders + 1, now_ns
        return -self._placeholders

    @property
    def due_ns(self) -> int:
        """When the next placeholder is due, if no picture comes."""
        if self._placeholders:
            return self._sent_ns + _PLACEHOLDER_PAUSE_NS
        return self._sent_ns + (_SILENT_PAUSE_NS if self._link is LinkState.STREAMING else _AWAY_PAUSE_NS)
