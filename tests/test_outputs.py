"""The outputs of all cameras: how they end."""

from __future__ import annotations

import threading

import pytest

from anonymizer import outputs
from anonymizer.clock import SystemClock
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.outputs import Outputs
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.supervisor import Supervisor
from anonymizer.settings.schema import CameraSettings, Settings

CAMERAS = 3


def test_a_stop_takes_as_long_as_the_slowest_push_and_not_as_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs holds each push up for seconds, and systemd kills who takes longer than eight to stop."""
    together = threading.Barrier(CAMERAS, timeout=5)

    class SlowPusher:
        def __init__(self, *_arguments: object, **_settings: object) -> None:
            pass

        def start(self) -> None:
            pass

        def close(self) -> None:
            together.wait()  # breaks if the others are not closed meanwhile

    monkeypatch.setattr(outputs, "Pusher", SlowPusher)
    clock, meter = SystemClock(), PrometheusMeter(version="test", runtime="none")
    board = Supervisor(InferenceStage(lambda: pytest.fail("no model"), meter, clock), object(), clock)  # type: ignore[arg-type]
    every = Outputs(Settings(), board=board, meter=meter, clock=clock)
    for index in range(CAMERAS):
        push_url = f"rtsp://192.0.2.1/{index}"
        every.add(CameraSettings(id=f"cam{index}", url="rtsp://192.0.2.2/", push_url=push_url))
    every.close()
    assert not together.broken
