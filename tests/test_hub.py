"""The hub: fan-out where nobody can hurt anybody else."""

from __future__ import annotations

import threading

import pytest

from anonymizer.publish.hub import Hub, Subscription
from anonymizer.types import EncodedPacket, Size
from tests.fakes import RecordingMeter

WAIT_S = 10.0  # far longer than any test takes; nothing below waits that long


def packet(seq: int, *, key: bool = False) -> EncodedPacket:
    return EncodedPacket("cam", seq * 40_000_000, 0, b"%d" % seq, key, Size(64, 48))


def fill(hub: Hub, first: int, last: int, *, keys: tuple[int, ...] = ()) -> None:
    for seq in range(first, last):
        hub.put(packet(seq, key=seq in keys))


def drain(subscription: Subscription) -> list[int]:
    seqs = []
    while (got := subscription.get(0)) is not None:
        seqs.append(int(got.data))
    return seqs


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


@pytest.fixture
def hub(meter: RecordingMeter) -> Hub:
    return Hub("cam", meter)


def test_a_hub_without_subscribers_takes_packets_and_wants_no_key_frame(hub: Hub) -> None:
    fill(hub, 0, 3, keys=(0,))
    assert not hub.take_key_request()


def test_a_subscriber_begins_at_a_key_frame_and_the_wait_is_not_a_drop(hub: Hub, meter: RecordingMeter) -> None:
    with hub.subscribe("rtsp", 10) as subscription:
        fill(hub, 0, 6, keys=(3,))
        assert drain(subscription) == [3, 4, 5]
    assert not meter.counts


def test_every_subscriber_gets_every_packet_in_order(hub: Hub) -> None:
    subscriptions = [hub.subscribe("rtsp", 10) for _ in range(3)]
    fill(hub, 0, 5, keys=(0,))
    assert [drain(subscription) for subscription in subscriptions] == [[0, 1, 2, 3, 4]] * 3


def test_joining_asks_for_one_key_frame(hub: Hub) -> None:
    hub.subscribe("rtsp", 10)
    assert [hub.take_key_request(), hub.take_key_request()] == [True, False]


def test_key_frames_are_not_made_faster_than_the_gap_but_no_request_is_forgotten(hub: Hub) -> None:
    hub.put(packet(0, key=True))
    hub.subscribe("rtsp", 10)
    asked = []
    for seq in range(1, 10):
        hub.put(packet(seq))
        asked.append(hub.take_key_request())
    assert asked == [False] * 7 + [True] + [False]  # packet 8 is 320 ms after the key frame


def test_on_overflow_the_queue_is_emptied_counted_and_resumes_at_a_key_frame(hub: Hub, meter: RecordingMeter) -> None:
    slow = hub.subscribe("push", 4)
    assert hub.take_key_request()
    fill(hub, 0, 8, keys=(0,))  # 0-3 fit, 4 empties the queue, 5-7 cannot be decoded
    assert drain(slow) == []
    assert meter.counts["dropped", "cam", "push"] == 8
    hub.put(packet(8))
    assert hub.take_key_request()
    fill(hub, 9, 12, keys=(9,))
    assert drain(slow) == [9, 10, 11]
    assert meter.counts["dropped", "cam", "push"] == 9


def test_a_key_frame_that_meets_a_full_queue_is_kept_and_no_other_is_asked_for(hub: Hub, meter: RecordingMeter) -> None:
    slow = hub.subscribe("push", 3)
    assert hub.take_key_request()
    fill(hub, 0, 4, keys=(0, 3))
    assert drain(slow) == [3]
    assert meter.counts["dropped", "cam", "push"] == 3
    for seq in range(4, 20):
        hub.put(packet(seq))
        assert drain(slow) == [seq]
    assert not hub.take_key_request()


def test_a_slow_subscriber_costs_the_others_nothing(hub: Hub) -> None:
    hub.subscribe("slow", 1)
    fast = hub.subscribe("fast", 5)
    got = []
    for seq in range(50):
        hub.put(packet(seq, key=seq == 0))
        got += drain(fast)
    assert got == list(range(50))


def test_a_thinned_subscription_gets_key_frames_alone_and_then_all_from_one_on(hub: Hub, meter: RecordingMeter) -> None:
    with hub.subscribe("rtsp", 10) as subscription:
        fill(hub, 0, 2, keys=(0,))
        subscription.thin(only_keys=True)
        fill(hub, 2, 6, keys=(3, 5))
        subscription.thin(only_keys=False)
        fill(hub, 6, 8)  # they follow 5
        subscription.thin(only_keys=True)
        fill(hub, 8, 9)
        subscription.thin(only_keys=False)
        fill(hub, 9, 13, keys=(11,))
        assert drain(subscription) == [0, 1, 3, 5, 6, 7, 11, 12]
    assert not meter.counts


def test_get_without_packets_returns_none_after_its_time(hub: Hub) -> None:
    assert hub.subscribe("rtsp", 3).get(0.001) is None


def test_a_packet_wakes_a_waiting_reader(hub: Hub) -> None:
    subscription = hub.subscribe("rtsp", 3)
    got: list[EncodedPacket | None] = []
    reader = threading.Thread(target=lambda: got.append(subscription.get(WAIT_S)))
    reader.start()
    hub.put(packet(7, key=True))
    reader.join(WAIT_S)
    assert [each.data for each in got if each] == [b"7"]


@pytest.mark.parametrize("who", ["hub", "subscription"])
def test_closing_wakes_every_reader_for_good(hub: Hub, who: str) -> None:
    subscriptions = [hub.subscribe("rtsp", 3) for _ in range(3)]
    got: list[EncodedPacket | None] = []
    readers = [threading.Thread(target=lambda sub=sub: got.append(sub.get(WAIT_S))) for sub in subscriptions]
    for reader in readers:
        reader.start()
    for closable in [hub] if who == "hub" else subscriptions:
        closable.close()
        closable.close()
    for reader in readers:
        reader.join(WAIT_S)
    assert got == [None] * 3
    assert all(subscription.closed for subscription in subscriptions)


def test_what_is_queued_at_close_is_not_handed_out(hub: Hub) -> None:
    subscription = hub.subscribe("rtsp", 3)
    fill(hub, 0, 2, keys=(0,))
    hub.close()
    fill(hub, 2, 4, keys=(2,))
    assert drain(subscription) == []


def test_a_closed_hub_gives_closed_subscriptions(hub: Hub) -> None:
    with hub:
        pass
    assert hub.subscribe("rtsp", 3).closed


def test_a_subscriber_that_left_gets_nothing_and_counts_nothing(hub: Hub, meter: RecordingMeter) -> None:
    subscription = hub.subscribe("rtsp", 1)
    subscription.close()
    fill(hub, 0, 5, keys=(0,))
    assert drain(subscription) == []
    assert not meter.counts


def test_many_threads_joining_and_leaving_lose_nobody_elses_packets(hub: Hub) -> None:
    steady = hub.subscribe("steady", 2000)
    done = threading.Event()

    def visit() -> None:
        while not done.is_set():
            with hub.subscribe("visitor", 2) as subscription:
                subscription.get(0.0001)

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    fill(hub, 0, 1000, keys=(0,))
    done.set()
    for visitor in visitors:
        visitor.join(WAIT_S)
    assert drain(steady) == list(range(1000))
