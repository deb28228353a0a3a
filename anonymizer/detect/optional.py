"""A model that detection can do without: when it fails it is unloaded, and loaded again later."""

from __future__ import annotations

import logging

from anonymizer.clock import Clock
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.lifecycle import Resource

log = logging.getLogger(__name__)

RETRY_NS = 15_000_000_000  # between attempts to load a model that does not work


class OptionalModel(Resource):
    """Loads and reloads one model; used by one thread. A failure is logged once, until the model has worked again."""

    def __init__(self, model: Resource, complaint: str, clock: Clock) -> None:
        """`complaint` is what the log says of a failure; its %s is replaced by the error."""
        self._model = model
        self._complaint = complaint
        self._clock = clock
        self._is_loaded = False
        self._is_failing = False
        self._retry_ns: int | None = None  # when to try loading again; None: at once

    def start(self) -> None:
        """Load the model; one that cannot be loaded is tried again later."""
        try:
            self._model.start()
        except ModelError as error:
            self.failed(error)
        else:
            self._is_loaded = True

    def is_ready(self) -> bool:
        """Whether the model is loaded; loads it if that is due again."""
        if not self._is_loaded and (self._retry_ns is None or self._clock.now_ns() >= self._retry_ns):
            self.start()
        return self._is_loaded

    def worked(self) -> None:
        """The model answered."""
        self._is_failing = False

    def failed(self, error: InvalidOutputError | ModelError) -> None:
        """The model gave invalid output, or its runtime failed; then the model is unloaded until the next attempt."""
        if isinstance(error, ModelError):
            self.close()
            self._retry_ns = self._clock.now_ns() + RETRY_NS
        if not self._is_failing:
            self._is_failing = True
            log.warning(self._complaint, error)

    def close(self) -> None:
        """Free the model; idempotent."""
        self._is_loaded = False
        self._model.close()
