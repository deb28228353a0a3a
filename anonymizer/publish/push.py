"""One redacted stream to somebody else's RTSP server, through a child process that may hang, fail and be replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import subprocess
import sys
import threading
from typing import IO, Self

from anonymizer.backoff import Backoff
from anonymizer.clock import Clock
from anonymizer.lifecycle import Resource
from anonymizer.ports import Meter
from anonymizer.publish.hub import Hub, Subscription
from anonymizer.publish.pipe import write_within
from anonymizer.publish.push_wire import CONNECTED, GOODBYE, pack_packet, pack_url
from anonymizer.settings.address import public_address
from anonymizer.types import EncodedPacket

_LOG = logging.getLogger(__name__)

OUTPUT = "push"  # label in the metrics
_QUEUE_PACKETS = 120  # overflow rule: the subscription's
_COMMAND = (sys.executable, "-m", "anonymizer.publish.push_child")
_IDLE_S = 1.0  # how often a child is looked after while no packets come
_FAREWELL_S = 1.0
_LONGEST_REASON_BYTES = 500
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_STEADY_S = 30.0  # a connection that lasted this long starts the pauses over


class _Child:
    """The process, its pipes and their end."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self._process = process
        self._stdin = stdin
        self._stdout = stdout
        self._said = b""

    @classmethod
    def spawn(cls) -> Self:
        """Start the process; raises OSError."""
        process = subprocess.Popen(
            [*_COMMAND, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        os.set_blocking(process.stdin.fileno(), False)
        os.set_blocking(process.stdout.fileno(), False)
        return cls(process, process.stdin, process.stdout)

    def write(self, data: bytes, limit_s: float, clock: Clock) -> None:
        """Raises TimeoutError if the child takes longer than that, BrokenPipeError if it has ended."""
        write_within(self._stdin.fileno(), data, limit_s=limit_s, now_ns=clock.now_ns)

    def connected(self) -> bool:
        """True after the server took the first packet."""
        self._said += self._stdout.read(_LONGEST_REASON_BYTES) or b""
        return self._said.startswith(CONNECTED)

    def ended(self) -> bool:
        """True if the process is no more."""
        return self._process.poll() is not None

    def wait(self, limit_s: float) -> None:
        """Raises TimeoutError if it does not end."""
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"no answer to goodbye for {limit_s:g} s") from None

    def last_words(self) -> str:
        """Why it ended by itself; empty if it did not say."""
        with contextlib.suppress(TimeoutError):
            self.wait(_FAREWELL_S)
        said = self._said + (self._stdout.read(_LONGEST_REASON_BYTES) or b"")
        return said.removeprefix(CONNECTED).decode(errors="replace")

    def kill(self) -> None:
        """End it whatever it does; from any thread."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()


class Pusher(Resource):
    """Pushes for as long as it runs; after a failure again, with pauses that double up to 30 s, forever."""

    def __init__(self, camera_id: str, url: str, hub: Hub, meter: Meter, clock: Clock, *, stall_s: float = 5.0) -> None:
        self._camera_id = camera_id
        self._url = url
        self._place = public_address(url)
        self._hub = hub
        self._meter = meter
        self._clock = clock
        self._stall_s = stall_s  # a server that takes nothing for so long counts as hung
        self._backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, random.Random())  # noqa: S311 - jitter, not a secret
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._subscription: Subscription | None = None
        self._child: _Child | None = None
        self._thread = threading.Thread(target=self._run, name=f"push-{camera_id}", daemon=True)

    def start(self) -> None:
        """Begin; whether the server can be reached shows in the log and the metrics."""
        self._thread.start()

    def close(self) -> None:
        """Say goodbye to the server, or do without if it hangs; idempotent."""
        self._stop.set()
        with self._lock:
            if self._subscription is not None:
                self._subscription.close()
        if not self._thread.is_alive():
            return
        self._thread.join(2 * _FAREWELL_S)
        with self._lock:
            if self._child is not None:
                self._child.kill()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            began_ns = self._clock.now_ns()
            try:
                trouble = self._push()
            except OSError as error:
                trouble = f"no child process: {error}"
            if self._clock.now_ns() - began_ns > _STEADY_S * 1e9:
                self._backoff.reset()
            if trouble and not self._stop.is_set():
                wait_s = self._backoff.next_s()
                _LOG.warning(
                    "camera %s: push to %s: %s; next try in %.1f s", self._camera_id, self._place, trouble, wait_s
                )
                self._stop.wait(wait_s)

    def _push(self) -> str:
        """One child's life, from the next key frame on; returns what went wrong, or nothing."""
        with self._hub.subscribe(OUTPUT, _QUEUE_PACKETS) as subscription:
            with self._lock:
                self._subscription = subscription
            if self._stop.is_set():
                return ""
            first = self._next(subscription, None)
            if first is None:
                self._stop.set()  # if we were not closed, the hub was
                return ""
            with _Child.spawn() as child:
                with self._lock:
                    self._child = child
                return self._feed(child, subscription, first)

    def _feed(self, child: _Child, subscription: Subscription, first: EncodedPacket) -> str:
        packet: EncodedPacket | None = first
        connected = False

        def write(data: bytes) -> None:
            child.write(data, self._stall_s, self._clock)

        try:
            write(pack_url(self._url))
            while packet is not None and packet.size == first.size:  # another size needs another description
                write(pack_packet(packet.pts_ns, packet.data))
                self._meter.bytes_out(self._camera_id, OUTPUT, len(packet.data))
                if not connected and child.connected():
                    connected = True
                    _LOG.info("camera %s: pushing to %s", self._camera_id, self._place)
                    self._meter.clients(self._camera_id, OUTPUT, 1)
                packet = self._next(subscription, child)
            write(GOODBYE)
            child.wait(_FAREWELL_S)
        except TimeoutError as error:
            return f"the server hangs: {error}"
        except BrokenPipeError:
            return child.last_words() or "the connection ended"
        finally:
            self._meter.clients(self._camera_id, OUTPUT, 0)
        return ""

    def _next(self, subscription: Subscription, child: _Child | None) -> EncodedPacket | None:
        """The next packet, None when there will be no more; raises BrokenPipeError if the child ended meanwhile."""
        while not subscription.closed:
            packet = subscription.get(_IDLE_S)
            if packet is not None:
                return packet
            if child is not None and child.ended():
                raise BrokenPipeError
        return None
