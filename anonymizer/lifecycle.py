"""One shape for every component that holds something: constructors store, `start` acquires, `close` releases."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Self


class Resource(ABC):
    """A component that `with` starts on entry and closes on exit."""

    @abstractmethod
    def start(self) -> None:
        """Acquire what the component needs; raises an AnonymizerError."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; idempotent, never raises, returns within seconds."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def close_all(resources: Iterable[Resource]) -> None:
    """Close all of them at the same time, each in a thread of its own; takes as long as the slowest."""
    closers = [threading.Thread(target=resource.close, name="closer") for resource in resources]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
