"""Hands the encoded packets of one camera to any number of subscribers, none of which can slow down another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Self

from anonymizer.ports import Meter
from anonymizer.types import EncodedPacket

_MIN_KEY_GAP_NS = 300_000_000  # or viewers that come and go in a loop would make every picture a key frame


class Subscription:
    """A bounded queue of packets that begins at a key frame; made by `Hub.subscribe`, read by one thread.

    Overflow rule: the queue is emptied and filled again from the next key frame on; every packet missed is counted.
    """

    def __init__(
        self,
        capacity: int,
        *,
        lost: Callable[[int], None],
        need_key: Callable[[], None],
        leave: Callable[[Subscription], None],
    ) -> None:
        self._capacity = capacity
        self._lost = lost
        self._need_key = need_key
        self._leave = leave
        self._queue: deque[EncodedPacket] = deque()
        self._changed = threading.Condition()
        self._waits_for_key = True
        self._behind = False  # waits for a key frame because it lost packets
        self._only_keys = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """True once nothing more will come."""
        return self._closed

    def get(self, timeout_s: float) -> EncodedPacket | None:
        """The next packet; None after `timeout_s`, or at once when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed, timeout_s)
            return None if self._closed or not self._queue else self._queue.popleft()

    def thin(self, *, only_keys: bool) -> None:
        """Take key frames alone, or everything again from the next one on; what is left out is not counted."""
        with self._changed:
            self._only_keys = only_keys

    def close(self) -> None:
        """Leave the hub and wake the reader; idempotent, from any thread."""
        self._leave(self)
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def put(self, packet: EncodedPacket) -> None:
        """Queue the packet by the rule above; called by the hub; never blocks."""
        with self._changed:
            if self._only_keys and not packet.is_key:
                self._waits_for_key = True
                return
            full = len(self._queue) >= self._capacity
            dropped = self._lose() if full else 0
            if packet.is_key:
                self._waits_for_key = self._behind = False
            if not self._waits_for_key:
                self._queue.append(packet)
                self._changed.notify()
            elif self._behind:
                dropped += 1
        self._lost(dropped)
        if full and not packet.is_key:
            self._need_key()

    def _lose(self) -> int:
        """Empty the queue and wait for a key frame; returns how many packets that cost."""
        dropped = len(self._queue)
        self._queue.clear()
        self._waits_for_key = self._behind = True
        return dropped


class Hub:
    """A `PacketSink` that any thread may subscribe to."""

    def __init__(self, camera_id: str, meter: Meter) -> None:
        self._camera_id = camera_id
        self._meter = meter
        self._lock = threading.Lock()
        self._subscriptions: tuple[Subscription, ...] = ()  # replaced, never changed
        self._wants_key = False
        self._closed = False
        self._key_pts_ns: int | None = None  # of the newest key frame
        self._last_pts_ns = 0  # of the newest packet

    def put(self, packet: EncodedPacket) -> None:
        """Hand the packet to every subscriber; never blocks."""
        with self._lock:
            self._last_pts_ns = packet.pts_ns
            if packet.is_key:
                self._key_pts_ns = packet.pts_ns
            subscriptions = self._subscriptions
        for subscription in subscriptions:
            subscription.put(packet)

    def take_key_request(self) -> bool:
        """True once after somebody needs a key frame, but not sooner than 0.3 s of stream after the last one."""
        with self._lock:
            too_soon = self._key_pts_ns is not None and self._last_pts_ns - self._key_pts_ns < _MIN_KEY_GAP_NS
            if not self._wants_key or too_soon:
                return False
            self._wants_key = False
            return True

    def request_key(self) -> None:
        """Ask for a key frame on behalf of a viewer that shares a subscription with others and has just joined."""
        with self._lock:
            self._wants_key = True

    def subscribe(self, name: str, capacity: int) -> Subscription:
        """A new queue of at most `capacity` packets; `name` labels its drops in the metrics.

        On a closed hub the subscription is closed from the start.
        """
        subscription = Subscription(
            capacity, lost=lambda count: self._count(name, count), need_key=self.request_key, leave=self._leave
        )
        with self._lock:
            closed = self._closed
            if not closed:
                self._subscriptions = (*self._subscriptions, subscription)
                self._wants_key = True
        if closed:
            subscription.close()
        return subscription

    def close(self) -> None:
        """End every subscription and wake its reader; idempotent."""
        with self._lock:
            self._closed = True
            subscriptions = self._subscriptions
        for subscription in subscriptions:
            subscription.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _leave(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions = tuple(other for other in self._subscriptions if other is not subscription)

    def _count(self, name: str, dropped: int) -> None:
        if dropped:
            self._meter.dropped(self._camera_id, name, dropped)
