"""The command `export`: a checkpoint as float32 and int8 TFLite, with manifest entries, a card and a report."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import yaml

from anonymizer.detect.engine import Engine
from anonymizer.errors import DatasetError
from anonymizer.models import SUGGESTED_THRESHOLD
from anonymizer.types import U8, Size
from scripts.train.arguments import count, natural, share
from scripts.train.canvas import CanvasMaker
from scripts.train.checkpoint import find_checkpoint, load_checkpoint, load_network
from scripts.train.datasets.forms import read_sets
from scripts.train.datasets.store import make_folder, write_whole
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.emit import emit
from scripts.train.fakequant import fine_tune
from scripts.train.fit import make_canvases, spread
from scripts.train.integer import to_int8
from scripts.train.network import Level
from scripts.train.networks import Network
from scripts.train.objective import Batch, collate
from scripts.train.picture import Sample
from scripts.train.recipe import Recipe
from scripts.train.validate import validate_file

FAMILY = "anchorfree"
INPUT = Size(640, 384)
VIEWS = 96  # canvases that int8's ranges are taken from
COMPARED = 16  # canvases
TIMED = 40  # runs of each file
MOST_LOSS = 0.01  # of AP50, from float32 to int8
CELLS_FROM = 0.3  # score of the network from which a cell counts in the comparison
TEST_PICTURE = "astronaut"
TEST_BOXES = {"face": (0.36, 0.13, 0.525, 0.345), "person": (0.03, 0.03, 0.71, 0.995)}  # in fractions of it


@dataclass(frozen=True, slots=True)
class Report:
    """One exported file beside the network that it comes from, on the same canvases."""

    name: str
    size_bytes: int
    cells: int  # that the network scores at or above CELLS_FROM
    score_error: float  # greatest difference of their scores
    mean_error: float
    cpu_ms: float  # median of one picture, one thread

    def __str__(self) -> str:
        errors = f"by {self.mean_error:.4f} on average, {self.score_error:.4f} at most"
        compared = f"scores of {self.cells} cells differ {errors}"
        if not self.cells:
            compared = (
                f"not compared, for no cell of {COMPARED} canvases scores {CELLS_FROM}: the network finds nothing"
            )
        return f"{self.name}: {self.size_bytes / 1000:.0f} kB, {self.cpu_ms:.1f} ms; {compared}"


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `export`."""
    text = "make float32 and int8 TFLite files of a trained network"
    parser = subparsers.add_parser("export", help=text, description=text)
    parser.set_defaults(run=_run)
    parser.add_argument("folder", type=Path, help="folder of the run, or a checkpoint")
    parser.add_argument("labels", type=Path, nargs="+", help="labelled pictures to take int8's ranges from")
    parser.add_argument("--name", required=True, help="of the models; -float32 and -int8 are added")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--width", type=count, default=INPUT.width, help=f"of the input ({INPUT.width})")
    parser.add_argument("--height", type=count, default=INPUT.height, help=f"of the input ({INPUT.height})")
    parser.add_argument("--validation", type=Path, nargs="*", default=[], help="labels to measure int8's loss by")
    parser.add_argument("--validation-limit", type=natural, default=100, help="pictures of it (100)")
    parser.add_argument(
        "--tune-steps",
        type=natural,
        default=300,
        help=f"of fine-tuning where int8 loses more than {100 * MOST_LOSS:.0f} AP50; 0: never (300)",
    )
    least = SUGGESTED_THRESHOLD
    parser.add_argument("--threshold", type=share, default=least, help=f"a sensible least score ({least})")


def _run(arguments: argparse.Namespace) -> int:
    check_name(arguments.name)
    size = Size(arguments.width, arguments.height)
    if size.width % 32 or size.height % 32:
        raise DatasetError(f"the input {size} must be a multiple of 32 both ways")
    torch.set_num_threads(1)
    network, recipe = load_network(arguments.folder)
    place = find_checkpoint(arguments.folder)
    print(f"{place}: step {load_checkpoint(place).get('step', '?')}")
    data = read_sets(arguments.labels).select(recipe.classes)
    canvases = make_canvases(data, recipe)
    views = list(_views(data, recipe, size))
    make_folder(arguments.out)
    model = emit(network, size, description=f"{arguments.name} of anonymizer's scripts/train")
    paths = {dtype: arguments.out / f"{arguments.name}-{dtype}.tflite" for dtype in ("float32", "int8")}
    write_whole(paths["float32"], model)
    write_whole(paths["int8"], to_int8(model, views))
    if arguments.validation:
        held_back = spread(read_sets(arguments.validation).select(recipe.classes).samples, arguments.validation_limit)
        judge = Judge(size, held_back, len(recipe.classes))
        expected, found = judge(paths["float32"]), judge(paths["int8"])
        print(f"AP50 of {len(held_back)} pictures: float32 {100 * expected:.1f}, int8 {100 * found:.1f}")
        if expected - found > MOST_LOSS and arguments.tune_steps:
            tuned = fine_tune(network, views, fresh_batches(canvases, recipe), arguments.tune_steps, recipe)
            keep_better(paths["int8"], to_int8(emit(tuned, size, description=arguments.name), views), judge, found)
    entries = []
    for dtype, path in paths.items():
        print(compare(path, network, views[:COMPARED]))
        entries.append(entry(path, dtype, size, recipe.classes, arguments.threshold))
    manifest = arguments.out / f"{arguments.name}.yaml"
    write_whole(manifest, yaml.safe_dump({"models": entries}, sort_keys=False).encode())
    added = f"anonymizer models add {path} --threshold {arguments.threshold:g}"
    print(f"{manifest}: entries for models/manifest.yaml; or `{added}`")
    return 0


def check_name(name: str) -> None:
    """Raises DatasetError unless it can be one of models, which are files."""
    if not name or Path(name).name != name or name == "..":
        raise DatasetError(f"--name {name!r} is no name of a model: use letters, digits and -, the folder is --out")


@dataclass(frozen=True, slots=True)
class Judge:
    """Mean AP50 of a file over all classes, 0-1."""

    size: Size
    held_back: Sequence[Sample]
    classes: int

    def __call__(self, path: Path) -> float:
        """Raises ModelError, InvalidOutputError."""
        found = [validate_file(path, self.size, self.held_back, at, self.classes) for at in range(self.classes)]
        return float(np.mean([each.overall or 0.0 for each in found]))


def fresh_batches(canvases: CanvasMaker, recipe: Recipe) -> Iterator[Batch]:
    """Batches that the run has not seen, without end."""
    for number in itertools.count(recipe.steps * recipe.batch, recipe.batch):
        yield collate([canvases.make(number + at) for at in range(recipe.batch)])


def keep_better(path: Path, tuned: bytes, judge: Judge, before: float) -> None:
    """Writes the fine-tuned file over the other one, unless it finds less."""
    plain = path.read_bytes()
    write_whole(path, tuned)
    after = judge(path)
    is_better = after > before
    if not is_better:
        write_whole(path, plain)
    print(f"fine-tuned for int8: {100 * after:.1f}, {'taken' if is_better else 'no better, left'}")


def _views(data: TrainingSet, recipe: Recipe, size: Size) -> Iterator[U8]:
    """Canvases with objects as large as the input can show: a range that never saw one would be clipped."""
    canvases = make_canvases(data, replace(recipe, canvas_px=min(size.width, size.height)))
    return (canvases.make(number, size).image for number in range(VIEWS))


def compare(path: Path, network: Network, canvases: Sequence[U8]) -> Report:
    """The file in the product's engine against the network."""
    errors, spent_ns = [], []
    with Engine(path, threads=1, mean=0.0, scale=1.0) as engine:
        for canvas in canvases:
            outputs = engine.run(canvas)
            for name, expected in _outputs(network, canvas).items():
                if name.startswith("score"):
                    errors.append(np.abs(outputs[name] - expected)[expected >= CELLS_FROM])
        for _ in range(TIMED):
            began = time.process_time_ns()
            engine.run(canvases[0])
            spent_ns.append(time.process_time_ns() - began)
    all_errors = np.concatenate(errors)
    return Report(
        name=path.name,
        size_bytes=path.stat().st_size,
        cells=len(all_errors),
        score_error=float(all_errors.max(initial=0.0)),
        mean_error=float(all_errors.mean()) if len(all_errors) else 0.0,
        cpu_ms=float(np.median(spent_ns)) / 1e6,
    )


def _outputs(network: Network, canvas: U8) -> Mapping[str, np.ndarray]:
    """What the exported graph is to return."""
    with torch.inference_mode():
        levels: Iterable[Level] = network(torch.from_numpy(canvas)[None].permute(0, 3, 1, 2).float())
    outputs = {}
    for level in levels:
        outputs[f"score_{level.stride_px}"] = level.logits.sigmoid().permute(0, 2, 3, 1).numpy()
        outputs[f"box_{level.stride_px}"] = level.encodings.permute(0, 2, 3, 1).numpy()
    return outputs


def entry(path: Path, dtype: str, size: Size, classes: Sequence[str], threshold: float) -> Mapping[str, object]:
    """What models/manifest.yaml says of the file; licence and limits are for you to state."""
    data = path.read_bytes()
    test = next((name for name in classes if name in TEST_BOXES), None)
    tested: dict[str, object] = {}
    if test is not None:
        box = list(TEST_BOXES[test])
        tested["self_test"] = {"picture": TEST_PICTURE, "target": test, "box": box, "min_iou": 0.5, "min_score": 0.3}
    return {
        "name": path.stem,
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "family": FAMILY,
        "classes": [name if name in TEST_BOXES else "other" for name in classes],
        "input": {
            "width": size.width, "height": size.height, "dtype": dtype, "mean": 0.0, "scale": 1.0, "fit": "letterbox",
        },
        "threshold": threshold,
        "licence": "NOASSERTION",
        **tested,
    }  # fmt: skip
