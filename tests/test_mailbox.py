"""A mailbox bounds frames, never loses control messages, and always wakes its consumer."""

from __future__ import annotations

import threading

import pytest

from anonymizer.pipeline.mailbox import Mailbox, MailboxFull


def test_an_empty_mailbox_times_out_with_none() -> None:
    box: Mailbox[int, str] = Mailbox(2, lambda _: None)
    assert box.get(0.0) is None


def test_a_full_mailbox_drops_the_oldest_frame_and_says_so() -> None:
    dropped: list[int] = []
    box: Mailbox[int, str] = Mailbox(2, dropped.append)
    for number in range(4):
        box.put(number)
    assert dropped == [0, 1]
    assert [box.get(0), box.get(0), box.get(0)] == [2, 3, None]


def test_control_messages_overtake_frames_and_are_never_dropped() -> None:
    box: Mailbox[int, str] = Mailbox(1, lambda _: None)
    box.put(1)
    for number in range(50):
        box.put_control(f"c{number}")
    assert [box.get(0) for _ in range(51)] == [*(f"c{number}" for number in range(50)), 1]


def test_a_consumer_that_never_reads_control_messages_is_an_error_for_the_sender() -> None:
    box: Mailbox[int, str] = Mailbox(1, lambda _: None)
    for _ in range(256):
        box.put_control("x")
    with pytest.raises(MailboxFull, match="256 control messages"):
        box.put_control("x")


def test_closing_wakes_the_consumer_and_refuses_what_comes_later() -> None:
    box: Mailbox[int, str] = Mailbox(1, lambda _: None)
    got: list[object] = []
    consumer = threading.Thread(target=lambda: got.append(box.get(None)))
    consumer.start()
    box.close()
    consumer.join(5)
    box.put(1)
    box.put_control("x")
    assert got == [None]
    assert box.get(None) is None
    assert box.depth() == 0
