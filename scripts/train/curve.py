"""Learning curves: a CSV that grows with each validation of a run, its picture, and several runs in one."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from anonymizer.errors import DatasetError
from anonymizer.evaluate.scores import BINS
from scripts.train.datasets.store import make_folder
from scripts.train.validate import Precision

NAME = "curve.csv"
FORMATS = (".png", ".jpg", ".svg", ".pdf")
COLUMNS = ("step", "class", "AP50", *(f"AP50 of {heights} px" for heights in BINS))


class Curve:
    """Rows of validations; those after `step` are of an abandoned try and go."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        self._rows = [row for row in _read(path) if int(row[0]) <= step]
        self._best = max((mean for _, mean in self._means()), default=-1.0)
        self.since_best = sum(at > self._best_step() for at, _ in self._means())

    @property
    def last_step(self) -> int:
        """Of the last validation, -1 without one."""
        return int(self._rows[-1][0]) if self._rows else -1

    def add(self, step: int, found: Mapping[str, Precision], mean: float) -> None:
        """Write one validation; raises DatasetError."""
        for name, each in found.items():
            values = (each.overall, *each.by_height)
            self._rows.append([str(step), name, *("" if value is None else f"{value:.4f}" for value in values)])
        part = self._path.with_name(f"{self._path.name}.part")  # a kill leaves the old file or the new one
        try:
            with part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                writer.writerows(self._rows)
            part.replace(self._path)
        except OSError as error:
            raise DatasetError(f"{self._path}: cannot be written: {error.strerror}") from None
        self.since_best = 0 if self.is_best(mean) else self.since_best + 1
        self._best = max(self._best, mean)

    def is_best(self, mean: float) -> bool:
        """Whether a validation is the best so far."""
        return mean > self._best

    def draw(self, path: Path) -> None:
        """AP50 over steps, all labels and by height, of every class."""
        figure, axes = plt.subplots(figsize=(7, 4), dpi=100)
        for name in dict.fromkeys(row[1] for row in self._rows):
            for column, title in enumerate(COLUMNS[2:], start=2):
                points = _points(self._rows, name, column)
                style = {"linewidth": 2.5, "color": "black"} if column == 2 else {"linewidth": 1.2}
                axes.plot(*zip(*points, strict=True), label=f"{name}, {title}", **style) if points else None
        axes.set(xlabel="step", ylabel="AP50", ylim=(0, 100))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="lower right")
        figure.tight_layout()
        try:
            figure.savefig(path)
        except OSError as error:
            raise DatasetError(f"{path}: cannot be written: {error.strerror}") from None
        finally:
            plt.close(figure)

    def _means(self) -> list[tuple[int, float]]:
        steps = dict.fromkeys(int(row[0]) for row in self._rows)
        values = {step: [float(row[2] or 0) for row in self._rows if int(row[0]) == step] for step in steps}
        return [(step, sum(each) / len(each)) for step, each in values.items()]

    def _best_step(self) -> int:
        return max(self._means(), key=lambda pair: pair[1], default=(0, 0.0))[0]


def _read(path: Path) -> list[list[str]]:
    """Its rows, none if there is no file; raises DatasetError for one that is no learning curve."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        is_curve = header[:3] == list(COLUMNS[:3]) and all(_is_validation(row) for row in rows)
    except (OSError, ValueError, csv.Error):
        is_curve, rows = False, []
    if not is_curve:
        raise DatasetError(f"{path}: is no {NAME} of a run")
    return rows


def _is_validation(row: Sequence[str]) -> bool:
    """Raises ValueError for words where there must be numbers."""
    return len(row) == len(COLUMNS) and int(row[0]) >= 0 and all(float(value or 0) >= 0 for value in row[2:])


def _points(rows: Sequence[Sequence[str]], name: str, column: int) -> list[tuple[int, float]]:
    """Steps and percentages of one class, where there was something to find."""
    return [(int(row[0]), 100 * float(row[column])) for row in rows if row[1] == name and row[column]]


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `curve`."""
    text = "draw the learning curves of several runs beside each other, by height"
    parser = subparsers.add_parser("curve", help=text, description=text)
    parser.set_defaults(run=_run)
    parser.add_argument("runs", type=Path, nargs="+", help=f"folders of runs, or their {NAME}")
    parser.add_argument("--class", dest="name", default="face", help="of which class (face)")
    parser.add_argument("--out", type=Path, required=True, help="PNG, JPEG, SVG or PDF to write")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.out.suffix.lower() not in FORMATS:
        raise DatasetError(f"{arguments.out}: is no name of a picture: end it in {' or '.join(FORMATS)}")
    make_folder(arguments.out.parent)
    runs = {}
    for place in arguments.runs:
        if not place.exists():
            raise DatasetError(f"{place}: does not exist: name the folder of a run, or its {NAME}")
        path = place / NAME if place.is_dir() else place
        rows = [row for row in _read(path) if row[1] == arguments.name]
        if not rows:
            raise DatasetError(f"{path} holds no validations of {arguments.name}: name a run that had --validation")
        runs[str(place)] = rows
    draw_runs(runs, arguments.name, arguments.out)
    for place, rows in runs.items():
        best = max(rows, key=lambda row: float(row[2] or 0))
        parts = " / ".join(f"{100 * float(value):.1f}" if value else "-" for value in best[3:])
        print(f"{place}: AP50 {100 * float(best[2] or 0):.1f} ({parts}) at step {best[0]}, of {rows[-1][0]}")
    return 0


def draw_runs(runs: Mapping[str, Sequence[Sequence[str]]], name: str, path: Path) -> None:
    """One panel for all heights and one for each, one line a run: rows of its CSV."""
    figure, grid = plt.subplots(2, 3, figsize=(12, 7), dpi=100)
    *panels, names = grid.flat
    for column, (axes, title) in enumerate(zip(panels, COLUMNS[2:], strict=True), start=2):
        for run, rows in runs.items():
            steps, values = zip(*_points(rows, name, column) or [(0, float("nan"))], strict=True)
            axes.plot(steps, values, marker=".", label=run)
        axes.set(title=title, xlabel="step", ylim=(0, 100))
        axes.grid(alpha=0.3)
    names.axis("off")
    names.legend(*panels[0].get_legend_handles_labels(), fontsize=8, loc="center")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
