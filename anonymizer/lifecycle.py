"""One shape for every component that holds something: constructors store, `start` acquires, `close` releases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Resource(ABC):
    """Serves `with`, which starts and closes it."""

    @abstractmethod
    def start(self) -> None:
        """Acquire; raises an AnonymizerError."""

    @abstractmethod
    def close(self) -> None:
        """Release; idempotent, never raises, returns within seconds."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
