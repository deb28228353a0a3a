"""The supervisor restarts what is sick, with growing pauses, and feeds the watchdog only while all is safe."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import cast

import pytest

from anonymizer.clock import FakeClock
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.line import CameraLine
from anonymizer.pipeline.status import StatusCell
from anonymizer.pipeline.supervisor import Supervisor
from anonymizer.types import CameraStatus, Stage


class FakeLine:
    """A camera that is as sick as a test says."""

    def __init__(self, camera_id: str, clock: FakeClock) -> None:
        self.camera_id = camera_id
        self.is_sick = False
        self.is_publishing = True
        self.calls: list[str] = []
        self.on_restart: Callable[[], object] = lambda: None
        self._cell = StatusCell(camera_id, clock)

    def start(self) -> None:
        self.calls.append("start")

    def close(self) -> None:
        self.calls.append("close")

    def restart(self) -> None:
        self.calls.append("restart")
        self.on_restart()

    def ailing(self) -> Stage | None:
        return Stage.ENCODE if self.is_sick else None

    def publishing(self) -> bool:
        return self.is_publishing

    def status(self) -> CameraStatus:
        return self._cell.read()


class FakeInference:
    is_ready = True
    is_healthy = True

    def ready(self) -> bool:
        return self.is_ready

    def healthy(self) -> bool:
        return self.is_healthy


class Rig:
    """A supervisor that looks when a test says so."""

    def __init__(self, *camera_ids: str) -> None:
        self.clock = FakeClock()
        self.inference = FakeInference()
        self.fed = 0
        self.supervisor = Supervisor(cast(InferenceStage, self.inference), self, self.clock)
        self.lines = {camera_id: FakeLine(camera_id, self.clock) for camera_id in camera_ids}
        for line in self.lines.values():
            self.supervisor.add(cast(CameraLine, line))

    def pet(self) -> None:
        self.fed += 1

    def look_after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.supervisor.look()


def test_healthy_cameras_are_left_alone_and_the_watchdog_is_fed() -> None:
    rig = Rig("a", "b")
    rig.look_after(0.5)
    rig.look_after(0.5)
    assert rig.fed == 2
    assert rig.lines["a"].calls == rig.lines["b"].calls == ["start"]


def test_a_sick_camera_is_restarted_after_a_pause_and_the_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig("a", "b")
    rig.lines["a"].is_sick = True
    rig.look_after(0.1)
    assert "camera a: stage encode crashed or hangs" in caplog.text
    assert rig.lines["a"].calls == ["start"]
    rig.look_after(1.0)
    assert rig.lines["a"].calls == ["start", "restart"]
    assert rig.lines["b"].calls == ["start"]


def test_a_camera_that_keeps_dying_is_restarted_less_and_less_often() -> None:
    rig = Rig("a")
    rig.lines["a"].is_sick = True
    restarts_at = []
    for tick in range(1200):
        before = len(rig.lines["a"].calls)
        rig.look_after(0.5)
        if len(rig.lines["a"].calls) > before:
            restarts_at.append(tick / 2)
    pauses = [after - before for before, after in itertools.pairwise(restarts_at)]
    assert max(pauses) > 10
    assert all(pause <= 31.5 for pause in pauses)
    assert len(restarts_at) < 50


def test_after_a_steady_minute_the_pauses_start_over() -> None:
    rig = Rig("a")
    line = rig.lines["a"]
    line.is_sick = True
    for _ in range(400):
        rig.look_after(0.5)
    line.is_sick = False
    rig.look_after(61)
    line.is_sick = True
    restarts = len(line.calls)
    rig.look_after(0.5)
    rig.look_after(1.0)
    assert len(line.calls) == restarts + 1


def test_cameras_that_go_sick_together_are_restarted_in_one_round_that_lasts_as_long_as_the_slowest() -> None:
    """Ten threads that are stuck, three seconds each, would starve the watchdog one after another."""
    rig = Rig(*"abcdefghij")
    rig.look_after(0.5)
    together = threading.Barrier(10, timeout=5)  # broken unless all ten are being restarted at the same time
    for line in rig.lines.values():
        line.is_sick = True
        line.on_restart = together.wait
    rig.look_after(0.5)
    rig.look_after(1.0)
    assert all(line.calls == ["start", "restart"] for line in rig.lines.values())
    assert rig.fed == 3


def test_the_watchdog_starves_while_sick_cameras_are_restarted_and_another_publishes_nothing_safe() -> None:
    rig = Rig("a", "b", "c")
    rig.look_after(21)
    rig.lines["a"].is_sick = rig.lines["b"].is_sick = True
    rig.lines["c"].is_publishing = False
    for _ in range(60):
        rig.look_after(0.5)
    assert "restart" in rig.lines["a"].calls
    assert rig.fed == 1


def test_a_restart_that_raises_crashes_the_supervisor_so_that_the_watchdog_starves() -> None:
    rig = Rig("a", "b")

    def fail() -> None:
        raise ZeroDivisionError

    rig.lines["a"].is_sick = rig.lines["b"].is_sick = True
    rig.lines["a"].on_restart = fail
    rig.look_after(0.5)
    with pytest.raises(ZeroDivisionError):
        rig.look_after(1.0)
    assert rig.fed == 1


@pytest.mark.parametrize("broken", ["inference", "camera"])
def test_the_watchdog_starves_while_anything_is_unsafe(broken: str) -> None:
    rig = Rig("a")
    rig.look_after(21)
    assert rig.fed == 1
    if broken == "inference":
        rig.inference.is_healthy = False
    else:
        rig.lines["a"].is_publishing = False
    rig.look_after(0.5)
    assert rig.fed == 1
    assert not rig.supervisor.healthy()


def test_a_new_camera_has_twenty_seconds_to_publish_before_it_counts_as_unsafe() -> None:
    rig = Rig("a")
    rig.lines["a"].is_publishing = False
    rig.look_after(19)
    assert rig.supervisor.healthy()
    assert not rig.supervisor.ready()
    rig.look_after(2)
    assert not rig.supervisor.healthy()


def test_restarts_that_do_not_help_do_not_hide_that_a_camera_publishes_nothing() -> None:
    """Else whoever is to restart the program, which might help, would never learn of it."""
    rig = Rig("a", "b")
    rig.look_after(60)
    assert rig.fed == 1
    rig.lines["a"].is_sick, rig.lines["a"].is_publishing = True, False
    for _ in range(240):
        rig.look_after(0.5)
    assert "restart" in rig.lines["a"].calls
    assert not rig.supervisor.healthy()
    assert rig.fed == 1


def test_a_camera_that_never_published_does_not_take_the_others_away_with_it() -> None:
    """The program was just started for its sake, perhaps, and that did not help."""
    rig = Rig("a", "b")
    rig.lines["a"].is_publishing = False
    for _ in range(60):
        rig.look_after(0.5)
    assert not rig.supervisor.healthy()
    assert rig.fed == 60
    rig.lines["a"].is_publishing = True
    rig.look_after(0.5)
    rig.lines["a"].is_publishing = False
    rig.look_after(0.5)
    assert rig.fed == 61


def test_a_camera_that_published_until_its_restart_has_twenty_seconds_to_do_so_again() -> None:
    rig = Rig("a")
    line = rig.lines["a"]
    rig.look_after(60)
    line.is_sick = True
    rig.look_after(0.5)
    rig.look_after(1.0)
    assert line.calls == ["start", "restart"]
    line.is_sick = line.is_publishing = False
    rig.look_after(19)
    assert rig.supervisor.healthy()
    rig.look_after(2)
    assert not rig.supervisor.healthy()


def test_a_removed_camera_is_closed_and_forgotten_and_the_order_follows_the_settings() -> None:
    rig = Rig("a", "b", "c")
    rig.supervisor.remove("b")
    rig.supervisor.reorder(["c", "a"])
    assert rig.lines["b"].calls == ["start", "close"]
    assert [status.camera_id for status in rig.supervisor.cameras()] == ["c", "a"]


def test_closing_closes_every_camera_once() -> None:
    rig = Rig("a", "b")
    with rig.supervisor:
        pass
    rig.supervisor.close()
    assert rig.lines["a"].calls == rig.lines["b"].calls == ["start", "close"]
