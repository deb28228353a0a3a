"""Looks after the cameras: restarts sick ones with a growing pause, feeds the watchdog unless a new start may help."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from anonymizer.backoff import Backoff
from anonymizer.clock import Clock
from anonymizer.lifecycle import Resource, close_all
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.line import CameraLine
from anonymizer.pipeline.stage import StageThread
from anonymizer.ports import Watchdog
from anonymizer.types import CameraStatus

log = logging.getLogger(__name__)

_ROUND_S = 0.5
_GRACE_NS = 20_000_000_000  # a camera that was just added, or restarted while it published, may take this long to
_STEADY_NS = 60_000_000_000


class _Ward:
    """A camera under supervision and when it may be restarted next."""

    def __init__(self, line: CameraLine, now_ns: int) -> None:
        self.line = line
        self.started_ns = now_ns
        self.spared_ns = now_ns  # from when on its grace counts
        self.has_published = False  # ever, since the program started
        self.due_ns: int | None = None
        self.backoff = Backoff(1.0, 30.0, random.Random())  # noqa: S311 - jitter, not a secret


class Supervisor(Resource):
    """Owns the running lines and answers for their health (a StatusBoard)."""

    def __init__(self, inference: InferenceStage, watchdog: Watchdog, clock: Clock) -> None:
        self._inference = inference
        self._watchdog = watchdog
        self._clock = clock
        self._operating = threading.RLock()  # one start, stop or restart at a time; never held by readers
        self._wards: dict[str, _Ward] = {}  # replaced as a whole, so that readers need no lock
        self._thread = StageThread("supervisor", self._run, on_crash=lambda: None)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking, then stop all lines, all at once; idempotent."""
        self._thread.close()
        with self._operating:
            wards, self._wards = self._wards, {}
        close_all(ward.line for ward in wards.values())

    def add(self, line: CameraLine) -> None:
        """Start a camera and look after it."""
        with self._operating:
            self._wards = {**self._wards, line.camera_id: _Ward(line, self._clock.now_ns())}
            line.start()

    def remove(self, camera_id: str) -> None:
        """Stop a camera."""
        with self._operating:
            wards = dict(self._wards)
            ward = wards.pop(camera_id)
            self._wards = wards
            ward.line.close()

    def cameras(self) -> Sequence[CameraStatus]:
        """Newest status of each camera, in the order of the YAML."""
        return [ward.line.status() for ward in self._wards.values()]

    def ready(self) -> bool:
        """True when the models are loaded and every camera published something safe lately."""
        return self._inference.ready() and all(ward.line.publishing() for ward in self._wards.values())

    def healthy(self) -> bool:
        """True while every thread beats and every camera publishes something safe, or is within its start-up grace."""
        return self._beats() and not self._silent()

    def _beats(self) -> bool:
        return not self._thread.crashed and self._inference.healthy()

    def _silent(self) -> Sequence[_Ward]:
        """The cameras of which nothing safe comes out, for longer than their grace."""
        now_ns = self._clock.now_ns()
        wards = self._wards.values()
        return [each for each in wards if not each.line.publishing() and now_ns - each.spared_ns >= _GRACE_NS]

    def reorder(self, camera_ids: Sequence[str]) -> None:
        """Take over the order of a new YAML; names every camera once."""
        with self._operating:
            self._wards = {camera_id: self._wards[camera_id] for camera_id in camera_ids}

    def look(self) -> None:
        """One round: restart what is due, all at once, and feed the watchdog unless a new start may help.

        It did not help a camera of which nothing came out since the last one: restarting for its sake, again and again,
        would take the other cameras away.

        A thread that is stuck holds up its own restart for seconds. One after another, a few of them, as when names are
        no longer resolved, would starve the watchdog.
        """
        now_ns = self._clock.now_ns()
        with self._operating:
            due = [ward for ward in self._wards.values() if self._tend(ward, now_ns)]
            for ward in due:
                ward.due_ns, ward.started_ns = None, now_ns
                if ward.line.publishing():  # else restarts that do not help would hide that nothing comes out
                    ward.spared_ns = now_ns
            for ward in self._wards.values():
                ward.has_published = ward.has_published or ward.line.publishing()
            _restart([ward.line for ward in due])
        if self._beats() and not any(ward.has_published for ward in self._silent()):
            self._watchdog.pet()

    def _tend(self, ward: _Ward, now_ns: int) -> bool:
        """Note how a camera is; True when it is to be restarted now."""
        stage = ward.line.ailing()
        if stage is None:
            if now_ns - ward.started_ns > _STEADY_NS:
                ward.backoff.reset()
        elif ward.due_ns is None:
            pause_s = ward.backoff.next_s()
            text = "camera %s: stage %s crashed or hangs; all of the camera's stages start anew in %.1f s"
            log.error(text, ward.line.camera_id, stage, pause_s)
            ward.due_ns = now_ns + round(pause_s * 1e9)
        else:
            return now_ns >= ward.due_ns
        return False

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.look()
            stop.wait(_ROUND_S)


def _restart(lines: Sequence[CameraLine]) -> None:
    """Takes as long as the slowest; raises what any of them raised."""
    if lines:
        with ThreadPoolExecutor(len(lines), thread_name_prefix="restart") as pool:
            for restarted in [pool.submit(line.restart) for line in lines]:
                restarted.result()
