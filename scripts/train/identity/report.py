"""Trials as a table, a CSV with a row each, and a chart: mean and spread over people and seeds."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from scripts.train.identity.study import HEAD, NEAREST, Trial

_NAMES = {HEAD: "head", NEAREST: "nearest photo within 0.6"}
_SEEN = {False: "photos", True: "as cameras show them"}
_STYLES = {HEAD: "-", NEAREST: "--"}
_COLOURS = {False: "tab:blue", True: "tab:orange"}


@dataclass(frozen=True, slots=True)
class Spread:
    """Percent: mean over all trials, and the standard deviation between the seeds' means."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.deviation:.1f}"


def spread(trials: Sequence[Trial], value: Callable[[Trial], float]) -> Spread:
    """Of a figure; there is at least one trial."""
    seeds = sorted({each.seed for each in trials})
    means = [100 * np.mean([value(each) for each in trials if each.seed == seed]) for seed in seeds]
    return Spread(float(np.mean(means)), float(np.std(means)))


def table(trials: Sequence[Trial]) -> str:
    """Markdown, one row for each margin, expansion, way and kind of faces."""
    lines = [
        "| told by | judged on | margin | expansion | accuracy | own faces refused | strangers accepted |",
        "|---|---|---|---|---|---|---|",
    ]
    keys = sorted({(each.way, each.cameras, each.margin, each.expansion) for each in trials})
    for way, cameras, margin, expansion in keys:
        chosen = _chosen(trials, way, cameras=cameras, margin=margin, expansion=expansion)
        figures = (
            spread(chosen, value)
            for value in (lambda each: each.accuracy, lambda each: each.false_rejects, lambda each: each.false_accepts)
        )
        cells = [_NAMES[way], _SEEN[cameras], f"{margin:g}", str(expansion), *map(str, figures)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_csv(trials: Sequence[Trial], path: Path) -> None:
    """One row a trial, and the file's first row the names."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*asdict(trials[0]), "accuracy"])
        writer.writeheader()
        writer.writerows({**asdict(each), "accuracy": round(each.accuracy, 4)} for each in trials)


def draw(trials: Sequence[Trial], path: Path) -> None:
    """Accuracy and strangers accepted, by expansion at the least margin and by margin at the greatest expansion."""
    margins, expansions = sorted({each.margin for each in trials}), sorted({each.expansion for each in trials})
    figure, panels = plt.subplots(2, 2, figsize=(9, 6), dpi=100, sharex="col", sharey="row", squeeze=False)
    rows: tuple[tuple[str, Callable[[Trial], float]], ...] = (
        ("accuracy, %", lambda each: each.accuracy),
        ("strangers accepted, %", lambda each: each.false_accepts),
    )
    for row, (title, value) in enumerate(rows):
        for way, style in _STYLES.items():
            for cameras, colour in _COLOURS.items():
                label = f"{_NAMES[way]}, {_SEEN[cameras]}"
                by_expansion = [
                    spread(_chosen(trials, way, cameras=cameras, margin=margins[0], expansion=each), value)
                    for each in expansions
                ]
                by_margin = [
                    spread(_chosen(trials, way, cameras=cameras, margin=each, expansion=expansions[-1]), value)
                    for each in margins
                ]
                for column, (places, points) in enumerate(((expansions, by_expansion), (margins, by_margin))):
                    means, deviations = [each.mean for each in points], [each.deviation for each in points]
                    panels[row][column].errorbar(
                        places, means, deviations, label=label, linestyle=style, color=colour, marker="o", capsize=3
                    )
        panels[row][0].set_ylabel(title)
    panels[0][0].set_xscale("log", base=2)
    panels[0][0].set_xticks(expansions, map(str, expansions))
    panels[1][0].set_xlabel(f"expansion, at a margin of {margins[0]:g}")
    panels[1][1].set_xlabel(f"margin around the box, at an expansion of {expansions[-1]}")
    panels[0][1].legend(fontsize=7)
    for each in panels.flat:
        each.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _chosen(trials: Sequence[Trial], way: str, *, cameras: bool, margin: float, expansion: int) -> list[Trial]:
    wanted = (way, cameras, margin, expansion)
    return [each for each in trials if (each.way, each.cameras, each.margin, each.expansion) == wanted]
