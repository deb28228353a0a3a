"""One hub into one GStreamer source: as fast as that takes it; key frames alone while nobody watches."""

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
    """A thread that pushes packets; when the source is full, the subscription's rule applies.

    `on_bytes` counts what somebody watches. From the thread that ends with it, `on_resized` is called when the pictures
    have another size, which needs another description, and `on_refused` if the source takes nothing any more. That is
    why key frames go on while nobody watches: whoever comes after the camera changed must be told of the new size.
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
        self._wanted = True  # GStreamer must see a key frame before it can describe the stream
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
        """Everything, from the next key frame on, or key frames alone."""
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
            end = self._push(subscription)
        if end is not None and not self._closed:
            end()

    def _push(self, subscription: Subscription) -> Callable[[], None] | None:
        """Until either end is closed; otherwise what is to be told."""
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
        """False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._full)
            return not self._closed

    def _running_ns(self) -> int:
        """Time since the pipeline began to play; 0 before that."""
        now_ns = self._source.get_current_running_time()
        return 0 if now_ns == self._gst.core.CLOCK_TIME_NONE else int(now_ns)
