"""Chooses for each camera the tiles of a frame that a detector searches within its time budget."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from anonymizer.detect.reach import Eye, TilePlan, plan_tiles
from anonymizer.detect.rota import Rota
from anonymizer.detect.tiles import Tile
from anonymizer.types import Frame, Heat

log = logging.getLogger(__name__)

LONGEST_MS = 5000  # for one frame when no budget is set, well below the 20 s after which the watchdog restarts us


@dataclass(frozen=True, slots=True)
class Reach:
    """The smallest face to be found on a camera, and the times that searching for it must keep to."""

    reach_px: int  # height in source pixels of the smallest face to be found
    max_detection_age_ms: int
    hold_ms: int


@dataclass(frozen=True, slots=True)
class _Watch:
    """The tiles of one camera, and whose turn it is."""

    plan: TilePlan
    rota: Rota


class Scout:
    """The tiles of each frame; used by the detector's thread. Cameras that are not in `reaches` have none."""

    def __init__(self, eye: Eye, reaches: Mapping[str, Reach], *, budget_ms: int | None) -> None:
        """`budget_ms`: wall time for one frame, its whole included; at least one tile is searched. None: LONGEST_MS."""
        self._eye = eye
        self._reaches = reaches
        self._budget_ms = budget_ms
        self._watches: dict[str, _Watch] = {}  # no more than `reaches`
        self._heats: dict[str, Heat | None] = {}  # of each camera's newest frame; no more than `reaches`

    def tiles(self, frame: Frame, inference_ns: int) -> list[Tile]:
        """The tiles to search in this frame besides the whole of it; `inference_ns` is the time of one inference."""
        reach = self._reaches.get(frame.camera_id)
        if reach is None:
            return []
        turns = self._turns(inference_ns)
        watch = self._watches.get(frame.camera_id)
        if watch is None or watch.plan.frame != frame.size:
            plan = plan_tiles(frame.size, self._eye, reach.reach_px)
            watch = self._watches[frame.camera_id] = _Watch(plan, Rota(plan))
            self._announce(frame.camera_id, reach, watch, turns, inference_ns / 1e6)
        return watch.rota.choose(frame.planes.y, turns, self._heats.pop(frame.camera_id, None))

    def set_heat(self, camera_id: str, heat: Heat | None) -> None:
        """What attention saw in the frame that is passed to `tiles` next; None: it could not look."""
        if camera_id in self._reaches:
            self._heats[camera_id] = heat

    def found(self, camera_id: str, tile: Tile, *, something: bool) -> None:
        """Whether something was found in a tile that `tiles` returned."""
        self._watches[camera_id].rota.found(tile, something=something)

    def _turns(self, inference_ns: int) -> int:
        """The number of tiles that there is time for in one frame."""
        budget_ns = (self._budget_ms or LONGEST_MS) * 1_000_000
        return max(1, budget_ns // max(1, inference_ns) - 1)

    def _announce(self, camera_id: str, reach: Reach, watch: _Watch, turns: int, inference_ms: float) -> None:
        """Log what the camera's plan costs, and warn of settings that do not go together."""
        plan, wait = watch.plan, watch.rota.longest_wait(turns)
        frame_ms = (1 + min(turns, len(plan.tiles))) * inference_ms * len(self._reaches)
        log.info(
            "camera %s: %s; about %.0f ms a frame, tiled cameras: %d, frames until every tile had its turn: %d",
            camera_id,
            plan,
            frame_ms,
            len(self._reaches),
            wait,
        )
        if plan.tiles and plan.reach_px > reach.reach_px:
            log.warning(
                "camera %s: faces from %d px take too many tiles, only those from %d px are found: raise its reach_px",
                camera_id,
                reach.reach_px,
                plan.reach_px,
            )
        if frame_ms > reach.max_detection_age_ms:
            log.warning(
                "camera %s: detection takes %.0f ms, longer than max_detection_age_ms (%d), so frames will be masked "
                "whole: set detect.budget_ms, or raise reach_px or max_detection_age_ms",
                camera_id,
                frame_ms,
                reach.max_detection_age_ms,
            )
        if wait > 1 and 2 * wait * frame_ms > reach.hold_ms:
            log.warning(
                "camera %s: a tile may wait %.0f ms for its turn, but who was seen once weakly is only masked for half "
                "of hold_ms (%d): raise hold_ms to %.0f or more, or raise detect.budget_ms or reach_px",
                camera_id,
                wait * frame_ms,
                reach.hold_ms,
                2 * wait * frame_ms,
            )
