"""The feed between a hub and a GStreamer source, with a fake source."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from anonymizer.gstreamer import GStreamer
from anonymizer.publish.feed import Feed
from anonymizer.publish.hub import Hub
from anonymizer.types import EncodedPacket, Size
from tests.fakes import RecordingMeter
from tests.publishing import wait_for

OK, FLUSHING, NONE = 0, -2, 2**64 - 1
WAIT_S = 10.0


class Buffer(SimpleNamespace):
    @classmethod
    def new_wrapped(cls, data: bytes) -> Buffer:
        return cls(data=data, pts=None)


GST = GStreamer(
    core=SimpleNamespace(Buffer=Buffer, FlowReturn=SimpleNamespace(OK=OK), CLOCK_TIME_NONE=NONE),
    glib=None,
    rtsp=None,
    server=None,
)


class Source:
    """What a feed uses of an appsrc."""

    def __init__(self) -> None:
        self.taken: queue.SimpleQueue[Buffer] = queue.SimpleQueue()
        self.handlers: dict[str, Callable[..., None]] = {}
        self.answer = OK
        self.running_ns = NONE

    def connect(self, signal: str, handler: Callable[..., None]) -> str:
        self.handlers[signal] = handler
        return signal

    def disconnect(self, signal: str) -> None:
        del self.handlers[signal]

    def emit(self, _signal: str, buffer: Buffer) -> int:
        self.taken.put(buffer)
        return self.answer

    def get_current_running_time(self) -> int:
        return self.running_ns

    def next(self) -> bytes:
        data: bytes = self.taken.get(timeout=WAIT_S).data
        return data


class Bench:
    def __init__(self) -> None:
        self.meter = RecordingMeter()
        self.hub = Hub("cam", self.meter)
        self.source = Source()
        self.refused = threading.Event()
        self.sizes: queue.SimpleQueue[Size] = queue.SimpleQueue()
        self.bytes: list[int] = []
        self.feed = Feed(
            GST,
            self.source,
            lambda: self.hub.subscribe("rtsp", 3),
            name="cam",
            on_bytes=self.bytes.append,
            on_refused=self.refused.set,
            on_resized=self.sizes.put,
        )

    def put(self, seq: int, *, key: bool = False, width: int = 64) -> None:
        self.hub.put(EncodedPacket("cam", seq * 40_000_000, 0, b"%d" % seq, key, Size(width, 48)))

    def joined(self) -> bool:
        return self.hub.take_key_request()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.feed.start()
    wait_for(bench.joined)
    yield bench
    bench.feed.close()
    bench.feed.close()
    assert not bench.source.handlers


def test_packets_reach_the_source_from_a_key_frame_on_and_are_counted(bench: Bench) -> None:
    bench.put(0)
    bench.put(1, key=True)
    assert bench.source.next() == b"1"
    bench.put(2)
    assert bench.source.next() == b"2"
    wait_for(lambda: bench.bytes == [1, 1])


def test_before_the_pipeline_plays_time_is_zero_and_afterwards_its_own(bench: Bench) -> None:
    bench.put(0, key=True)
    assert bench.source.taken.get(timeout=WAIT_S).pts == 0
    bench.source.running_ns = 5_000_000_000
    bench.put(1)
    assert bench.source.taken.get(timeout=WAIT_S).pts == 5_000_000_000


def test_while_the_source_is_full_the_hub_drops_and_afterwards_a_key_frame_comes_first(bench: Bench) -> None:
    bench.put(0, key=True)
    assert bench.source.next() == b"0"
    bench.source.handlers["enough-data"](bench.source)
    for seq in range(1, 9):  # one may be on its way already, three fit
        bench.put(seq)
    assert bench.meter.counts["dropped", "cam", "rtsp"] >= 4
    bench.source.handlers["need-data"](bench.source, 0)
    bench.put(9, key=True)
    wait_for(lambda: bench.source.next() == b"9")


def test_while_nobody_watches_key_frames_go_on_uncounted_and_all_follows_from_one_on(bench: Bench) -> None:
    bench.put(0, key=True)
    assert bench.source.next() == b"0"
    wait_for(lambda: bench.bytes == [1])
    bench.feed.want(wanted=False)
    bench.put(1)
    bench.put(2, key=True)
    assert bench.source.next() == b"2"
    bench.put(3)
    bench.feed.want(wanted=True)
    bench.put(4)
    bench.put(5, key=True)
    assert bench.source.next() == b"5"
    bench.put(6)
    assert bench.source.next() == b"6"
    wait_for(lambda: bench.bytes == [1, 1, 1])
    assert not bench.meter.counts


def test_a_source_that_refuses_ends_the_feed_and_is_reported(bench: Bench) -> None:
    bench.source.answer = FLUSHING
    bench.put(0, key=True)
    assert bench.refused.wait(WAIT_S)
    assert bench.bytes == []


@pytest.mark.parametrize("watched", [True, False])
def test_pictures_of_another_size_end_the_feed_for_they_need_another_description(bench: Bench, watched: bool) -> None:
    bench.feed.want(wanted=watched)
    bench.put(0, key=True)
    assert bench.source.next() == b"0"
    bench.put(1, key=True, width=128)
    assert bench.sizes.get(timeout=WAIT_S) == Size(128, 48)
    assert bench.source.taken.empty()


def test_a_hub_that_closes_ends_the_feed_and_is_no_failure(bench: Bench) -> None:
    bench.hub.close()
    wait_for(lambda: not any(thread.name == "rtsp-feed-cam" for thread in threading.enumerate()))
    assert not bench.refused.is_set()
    assert bench.sizes.empty()
