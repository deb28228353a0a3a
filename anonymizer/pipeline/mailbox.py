"""One consumer's inbox: bulk messages are bounded and drop the oldest, control messages always arrive first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Bulk = TypeVar("Bulk")
Control = TypeVar("Control")

_CONTROL_BOUND = 256


class MailboxFull(RuntimeError):  # noqa: N818 - a state, raised because it can only mean a dead consumer
    """Control messages pile up: the consumer is stuck, and its stage must be restarted."""


class Mailbox(Generic[Bulk, Control]):
    """Any thread puts, one thread gets.

    Overflow rule: the oldest bulk message is thrown away and `on_drop` is called with it, outside the lock. Control
    messages are never dropped; more than 256 of them waiting raises MailboxFull in the sender.
    """

    def __init__(self, capacity: int, on_drop: Callable[[Bulk], None]) -> None:
        self._capacity = capacity
        self._on_drop = on_drop
        self._bulk: deque[Bulk] = deque()
        self._control: deque[Control] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, message: Bulk) -> None:
        """Add a bulk message; drops the oldest when full, and everything once closed."""
        dropped: Bulk | None = None
        with self._changed:
            if self._closed:
                return
            if len(self._bulk) >= self._capacity:
                dropped = self._bulk.popleft()
            self._bulk.append(message)
            self._changed.notify()
        if dropped is not None:
            self._on_drop(dropped)

    def put_control(self, message: Control) -> None:
        """Add a control message; raises MailboxFull."""
        with self._changed:
            if self._closed:
                return
            if len(self._control) >= _CONTROL_BOUND:
                raise MailboxFull(f"{_CONTROL_BOUND} control messages wait unread")
            self._control.append(message)
            self._changed.notify()

    def get(self, timeout_s: float | None) -> Bulk | Control | None:
        """Next message, control first; None after the time-out or once closed."""
        with self._changed:
            if not self._control and not self._bulk and not self._closed:
                self._changed.wait(timeout_s)
            if self._control:
                return self._control.popleft()
            if self._bulk:
                return self._bulk.popleft()
            return None

    def depth(self) -> int:
        """Bulk messages waiting."""
        return len(self._bulk)

    def close(self) -> None:
        """Throw away what waits, refuse what comes, wake the consumer."""
        with self._changed:
            self._closed = True
            self._bulk.clear()
            self._control.clear()
            self._changed.notify_all()
