"""The capture thread connects forever, numbers frames without a gap, and never reuses an epoch."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable
from typing import Literal

import pytest

from anonymizer.backoff import Backoff
from anonymizer.clock import SystemClock
from anonymizer.errors import LoginRefusedError, SourceEnded, SourceError
from anonymizer.pipeline.capturing import CaptureStage
from anonymizer.pipeline.status import StatusCell
from anonymizer.ports import Source
from anonymizer.types import Frame, LinkChange, LinkState
from tests.fakes import RecordingMeter, make_frame

Step = int | Exception | Literal["refuse"]


class FakeSource:
    """Plays a script: an int is that many frames, an exception is raised, "refuse" fails the start."""

    codec = "h264"

    def __init__(self, epoch: int, first_seq: int, script: list[Step]) -> None:
        self.epoch = epoch
        self.seq = first_seq
        self.script = script
        self.started = False
        self.closed = threading.Event()

    def start(self) -> None:
        self.started = True
        if self.script and self.script[0] == "refuse":
            raise SourceError("connection refused")

    def read(self) -> Frame:
        if not self.script:
            self.closed.wait(5)
            raise SourceError("interrupted")
        head = self.script[0]
        if isinstance(head, Exception):
            raise head
        assert head != "refuse"
        self.script[0] = head - 1
        if self.script[0] == 0:
            self.script.pop(0)
        self.seq += 1
        return make_frame(self.seq - 1, epoch=self.epoch)

    def close(self) -> None:
        self.closed.set()


class Rig:
    def __init__(
        self,
        scripts: list[list[Step]],
        *,
        reconnects: bool = True,
        wrap: Callable[[Frame], None] | None = None,
        login_pause_s: float = 0.002,
    ) -> None:
        self.frames: queue.Queue[Frame] = queue.Queue()
        self.links: queue.Queue[LinkChange] = queue.Queue()
        self.crashed = threading.Event()
        self.meter = RecordingMeter()
        self.sources: list[FakeSource] = []
        self.on_open: Callable[[], object] = lambda: None
        self._scripts = scripts
        clock = SystemClock()
        self.stage = CaptureStage(
            "cam",
            self._open,
            on_frame=wrap or self.frames.put,
            on_link=self.links.put,
            on_crash=self.crashed.set,
            backoff=Backoff(0.001, 0.002, random.Random(1)),
            login_backoff=Backoff(login_pause_s, login_pause_s, random.Random(1)),
            meter=self.meter,
            clock=clock,
            status=StatusCell("cam", clock),
            silence_limit_s=5,
            reconnects=reconnects,
            first_connection=4,
        )

    def _open(self, epoch: int, first_seq: int) -> Source:
        script = self._scripts.pop(0) if self._scripts else []
        self.sources.append(FakeSource(epoch, first_seq, script))
        self.on_open()
        return self.sources[-1]


def test_after_every_kind_of_failure_it_connects_again_with_a_new_epoch_and_running_numbers() -> None:
    rig = Rig([["refuse"], [2, SourceError("timed out")], [1, SourceEnded("hung up")], [3]])
    with rig.stage:
        frames = [rig.frames.get(timeout=5) for _ in range(6)]
        assert rig.stage.alive()
    assert [frame.seq for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert [frame.epoch for frame in frames] == [5000, 5000, 6000, 7000, 7000, 7000]
    assert rig.meter.counts["reconnect", "cam"] == 3
    assert all(source.closed.is_set() for source in rig.sources)


def test_link_changes_tell_the_story_with_the_reason() -> None:
    rig = Rig([[1, SourceError("camera did not answer within 4 s")]])
    with rig.stage:
        story = [rig.links.get(timeout=5) for _ in range(4)]
    assert [change.state for change in story] == [
        LinkState.CONNECTING,
        LinkState.STREAMING,
        LinkState.WAITING,
        LinkState.CONNECTING,
    ]
    assert story[2].detail == "camera did not answer within 4 s"


def test_a_refused_login_is_not_tried_again_soon_and_says_why() -> None:
    scripts: list[list[Step]] = [[SourceError("busy")], [LoginRefusedError("the camera refused the login")], [1]]
    rig = Rig(scripts, login_pause_s=3600)
    with rig.stage:
        details = [rig.links.get(timeout=5).detail for _ in range(4)]
        assert rig.stage.alive()
        assert rig.links.empty()
    assert len(rig.sources) == 2
    assert details[1] == "busy"
    assert "refused the login" in details[3]
    assert "lock the account" in details[3]


def test_a_login_that_is_accepted_later_streams() -> None:
    rig = Rig([[LoginRefusedError("still starting")], [1]])
    with rig.stage:
        assert rig.frames.get(timeout=5).seq == 0


def test_a_file_that_plays_once_ends_and_stays_ended() -> None:
    rig = Rig([[1, SourceEnded("end of file")]], reconnects=False)
    with rig.stage:
        states = [rig.links.get(timeout=5).state for _ in range(3)]
    assert states == [LinkState.CONNECTING, LinkState.STREAMING, LinkState.ENDED]
    assert len(rig.sources) == 1


def test_closing_interrupts_a_read_that_blocks() -> None:
    rig = Rig([[1]])
    rig.stage.start()
    rig.frames.get(timeout=5)
    rig.stage.close()
    rig.stage.close()
    assert rig.sources[0].closed.is_set()


def test_a_stop_in_the_moment_of_connecting_connects_no_more() -> None:
    """Connecting may take seconds, longer than a stop waits for the thread, and nobody would interrupt it."""
    rig, opened = Rig([[1]]), threading.Event()

    def on_open() -> None:
        rig.stage.ask_to_stop()  # as a close that does not see this source yet
        opened.set()

    rig.on_open = on_open
    rig.stage.start()
    assert opened.wait(5)
    rig.stage.close()
    assert [source.started for source in rig.sources] == [False]
    assert rig.sources[0].closed.is_set()


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), MemoryError("no memory")])
def test_an_unexpected_error_is_a_crash_and_the_source_is_closed(error: Exception) -> None:
    rig = Rig([[error]])
    with rig.stage:
        assert rig.crashed.wait(5)
    assert rig.sources[0].closed.is_set()
