"""Moves packets from a hub into a GStreamer source: all of them while somebody watches, else key frames alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from anonymizer.gstreamer import GStreamer
from anonymizer.publish.hub import Subscription
from anonymizer.publish.pacer import Pacer
from anonymizer.types import Size

_WAKE_S = 1.0
_JOIN_S = 2.0


class Feed:
    """A thread that pushes packets as fast as the source takes them; beyond that the subscription drops.

    `on_bytes` is told of every packet that somebody watches. The thread ends, and calls `on_resized`, when the size of
    the pictures changes, for the description of the stream is wrong from then on; it ends and calls `on_refused` when
    the source takes nothing any more. Key frames go on while nobody watches, so that a new size is noticed before the
    next viewer is given the description.
    """

    def __init__(
        self,
        gst: GStreamer,
        source: Any,
        subscribe: Callable[[], Subscription],
        *,
        name: str,
        on_bytes: Callable[[int], None],
        on_refused: Callable[[], None],
        on_resized: Callable[[Size], None],
    ) -> None:
        self._gst = gst
        self._source = source
        self._subscribe = subscribe
        self._on_bytes = on_bytes
        self._on_refused = on_refused
        self._on_resized = on_resized
        self._changed = threading.Condition()
        self._wanted = True  # at first: GStreamer needs a key frame to describe the stream
        self._full = False
        self._closed = False
        self._subscription: Subscription | None = None
        self._handlers: list[int] = []
        self._thread = threading.Thread(target=self._run, name=f"rtsp-feed-{name}", daemon=True)

    def start(self) -> None:
        """Begin with the next key frame."""
        self._handlers = [
            self._source.connect("need-data", lambda _source, _length: self._set_full(full=False)),
            self._source.connect("enough-data", lambda _source: self._set_full(full=True)),
        ]
        self._thread.start()

    def want(self, *, wanted: bool) -> None:
        """Take all packets, from the next key frame on, or key frames alone."""
        with self._changed:
            self._wanted = wanted
            if self._subscription is not None:
                self._subscription.thin(only_keys=not wanted)

    def close(self) -> None:
        """Stop; idempotent."""
        with self._changed:
            self._closed = True
            if self._subscription is not None:
                self._subscription.close()
            self._changed.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)
        for handler in self._handlers:
            self._source.disconnect(handler)
        self._handlers = []

    def _set_full(self, *, full: bool) -> None:
        with self._changed:
            self._full = full
            self._changed.notify_all()

    def _run(self) -> None:
        with self._subscribe() as subscription:
            with self._changed:
                self._subscription = subscription
                subscription.thin(only_keys=not self._wanted)
            on_end = self._push(subscription)
        if on_end is not None and not self._closed:
            on_end()

    def _push(self, subscription: Subscription) -> Callable[[], None] | None:
        """Push until either end is closed; returns the callback to call if it ends for another reason."""
        pacer, size = Pacer(), None
        while self._wait_for_room() and not subscription.closed:
            packet = subscription.get(_WAKE_S)
            if packet is None:
                continue
            size = size or packet.size
            if packet.size != size:
                return partial(self._on_resized, packet.size)
            buffer = self._gst.core.Buffer.new_wrapped(packet.data)
            buffer.pts = pacer.place(packet.pts_ns, self._running_ns())
            if self._source.emit("push-buffer", buffer) != self._gst.core.FlowReturn.OK:
                return self._on_refused
            if self._wanted:
                self._on_bytes(len(packet.data))
        return None

    def _wait_for_room(self) -> bool:
        """Wait until the source takes more; False once this feed is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._full)
            return not self._closed

    def _running_ns(self) -> int:
        """Time since the pipeline began to play; 0 before that."""
        now_ns = self._source.get_current_running_time()
        return 0 if now_ns == self._gst.core.CLOCK_TIME_NONE else int(now_ns)
