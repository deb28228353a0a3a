"""Writes what was measured, and what follows from it, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from anonymizer.benchmark.models import CannotRun
from anonymizer.benchmark.recommend import Advice, DetectCost, Wish
from anonymizer.benchmark.stages import StageCosts
from anonymizer.settings.schema import Preset


@dataclass(frozen=True, slots=True)
class Report:
    """One run of the benchmark."""

    cores: int
    runtime: str
    encoder: str
    models: tuple[DetectCost | CannotRun, ...]
    tiles: tuple[DetectCost, ...]
    stages: Mapping[Preset, StageCosts]
    wish: Wish
    advice: Advice

    def __str__(self) -> str:
        parts = [self._head(), model_table(self.models), tile_table(self.tiles), self._stage_table(), self._advice()]
        return "\n\n".join(filter(None, parts))

    def _head(self) -> str:
        return f"{self.cores} cores, models run by {self.runtime}, encoder {self.encoder}, pictures {self._size}"

    @property
    def _size(self) -> str:
        return f"{self.wish.size.width}x{self.wish.size.height}"

    def _stage_table(self) -> str:
        (first, *_) = self.stages.values()
        lines = [f"stage, {first.regions:.0f} masks a picture".ljust(36) + "  CPU-ms a picture"]
        for stage, spent_ms in first.cpu_ms.items():
            if stage != "encode":
                lines.append(f"{stage:36}  {spent_ms:8.2f}")
        lines += [
            f"{f'encode, preset {preset}':36}  {costs.cpu_ms['encode']:8.2f}" for preset, costs in self.stages.items()
        ]
        return "\n".join(lines)

    def _advice(self) -> str:
        wish, plan, cameras = self.wish, self.advice.plan, self.advice.cameras
        asked = f"{_cameras(wish.cameras)} of {self._size} at {wish.fps:g} pictures a second"
        if plan is None:
            return f"This device cannot do {asked}: {self.advice.obstacle}, or take a faster device."
        does = f"{_cameras(cameras)} at {plan.fps:g} pictures a second"
        faces = "" if plan.reach_px is None else f", faces from {plan.reach_px} px on found in {_tiles(plan.tiles)}"
        met = cameras == wish.cameras and plan.fps == wish.fps
        return "\n".join(
            [
                f"This device can do {asked}." if met else f"This device cannot do {asked}. It can do {does}.",
                f"Estimate: {plan.cores:.1f} of {self.cores} cores busy, each camera searched "
                f"{plan.detections_per_s:.1f} times a second, answers within {plan.wait_ms:.0f} ms{faces}.",
            ]
        )


def _tiles(count: int) -> str:
    return f"{count} tiles and the whole picture" if count else "the whole picture"


def tile_table(costs: Sequence[DetectCost]) -> str:
    """A line for each plan of tiles: how small a face it finds, and what it costs."""
    if not costs:
        return ""
    row = "{:36}  {:>8}{:>12}{:>8}{:>10}{:>10}".format
    lines = [row("tiles of a picture", "threads", "faces from", "looks", "wall", "CPU") + "   ms a picture"]
    for cost in costs:
        wall, cpu = f"{cost.wall_ms:.1f}", f"{cost.cpu_ms:.1f}"
        lines.append(row(cost.model, cost.threads, f"{cost.reach_px} px", 1 + cost.tiles, wall, cpu))
    return "\n".join(lines)


def _cameras(count: int) -> str:
    return "1 camera" if count == 1 else f"{count} cameras"


def model_table(models: Sequence[DetectCost | CannotRun]) -> str:
    """Milliseconds from planes to boxes: a line for each model, a column for each number of threads."""
    costs = [cost for cost in models if isinstance(cost, DetectCost)]
    counts = sorted({cost.threads for cost in costs})
    heads = "".join(f"{f'{count} thread' + 's' * (count > 1):>12}" for count in counts)
    lines = [f"{'model':36}  {'input':8}{heads}   ms a picture"]
    return "\n".join([*lines, *_model_lines(costs, counts), *_failures(models)])


def _model_lines(costs: Sequence[DetectCost], counts: Sequence[int]) -> Iterator[str]:
    by_model: dict[str, dict[int, DetectCost]] = {}
    for cost in costs:
        by_model.setdefault(cost.model, {})[cost.threads] = cost
    for name, row in by_model.items():
        cells = "".join(f"{row[count].wall_ms:12.1f}" if count in row else " " * 12 for count in counts)
        yield f"{name:36}  {next(iter(row.values())).precision:8}{cells}"


def _failures(models: Sequence[DetectCost | CannotRun]) -> Iterator[str]:
    yield from (f"{each.model:36}  cannot run: {each.reason}" for each in models if isinstance(each, CannotRun))
