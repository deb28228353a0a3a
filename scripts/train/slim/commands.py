"""The commands `slim fit | export`."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from anonymizer.errors import DatasetError
from anonymizer.types import Size
from scripts.train.arguments import amount, count, natural, share
from scripts.train.canvas import CanvasMaker
from scripts.train.datasets.forms import read_sets
from scripts.train.datasets.store import make_folder, write_whole
from scripts.train.export import check_name
from scripts.train.fit import make_canvases
from scripts.train.integer import to_int8
from scripts.train.recipe import Recipe
from scripts.train.slim.emit import LOGITS, emit
from scripts.train.slim.even import even
from scripts.train.slim.fit import SlimRun, checkpoint_of, load_slim, run
from scripts.train.slim.recipe import SlimRecipe, checksum
from scripts.train.stop import INTERRUPTED

VIEWS = 96  # canvases that int8's ranges are taken from
SURE = {LOGITS: (-8.0, 4.0)}  # what int8 can say before the sigmoid: scores from 0.0003 to 0.98


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `slim`; each command sets `run`, which raises an AnonymizerError."""
    parser = subparsers.add_parser("slim", help="make a finished detector cheaper by taking channels out of it")
    commands = parser.add_subparsers(title="command", required=True, metavar="COMMAND")
    own = SlimRecipe("")

    fit = commands.add_parser(
        "fit", help="narrow a TFLite file, which then teaches what is left; run it again to go on"
    )
    fit.set_defaults(run=_fit)
    fit.add_argument(
        "file", type=Path, help="detector in float32 or all in int8, such as models/centerface-float32.tflite"
    )
    fit.add_argument("labels", type=Path, nargs="+", help="pictures; labels only say where canvases are cut")
    fit.add_argument("--run", dest="folder", type=Path, required=True, help="folder of the checkpoint")
    fit.add_argument("--class", dest="classes", action="append", help="of the labels; repeat for several (face)")
    fit.add_argument("--keep", type=share, default=own.keep, help=f"share of the multiply-adds that stays ({own.keep})")
    fit.add_argument(
        "--begin", type=Path, metavar="RUN", help="narrow what this run on the same file has made, by --keep of that"
    )
    fit.add_argument("--steps", type=count, default=own.steps, help=f"batches ({own.steps})")
    fit.add_argument("--batch", type=count, default=own.batch, help=f"canvases ({own.batch})")
    fit.add_argument(
        "--mean", type=amount, default=own.mean, help=f"taken off the pixels, as in the manifest ({own.mean})"
    )
    fit.add_argument(
        "--closer",
        action="store_true",
        help="learn the small faces too that CenterFace sees in pictures twice as large",
    )
    fit.add_argument(
        "--blurred",
        type=share,
        default=own.blurred,
        help=f"share of the canvases that are blurred and coded further once the teacher has seen them ({own.blurred})",
    )
    fit.add_argument("--canvas-px", type=count, default=320, help="side, a multiple of 32 (320)")
    fit.add_argument("--rate", type=amount, default=own.rate, help=f"of a tensor's size, at its peak ({own.rate})")
    fit.add_argument("--seed", type=natural, default=own.seed)
    fit.add_argument("--threads", type=count, default=1, help="of the training itself (1)")
    fit.add_argument(
        "--bfloat16", dest="halves", action="store_true", help="faster on a processor that has it (avx512_bf16)"
    )
    fit.add_argument("--save-every", type=count, default=250, help="steps (250)")

    export = commands.add_parser("export", help="write float32 (weights in half precision) and int8 TFLite files")
    export.set_defaults(run=_export)
    export.add_argument("folder", type=Path, help="folder of the run, or its checkpoint")
    export.add_argument("labels", type=Path, nargs="+", help="pictures to take int8's ranges from")
    export.add_argument("--class", dest="classes", action="append", help="of the labels; repeat for several (face)")
    export.add_argument("--name", required=True, help="of the models; -float32 and -int8 are added")
    export.add_argument("--width", type=count, default=640, help="of the input (640)")
    export.add_argument("--height", type=count, default=384, help="of the input (384)")
    export.add_argument("--out", type=Path, required=True, help="folder to write to")


def _canvases(arguments: argparse.Namespace, side_px: int, seed: int) -> CanvasMaker:
    classes = tuple(arguments.classes or ("face",))
    data = read_sets(arguments.labels).select(classes)
    return make_canvases(data, Recipe(classes=classes, canvas_px=side_px, seed=seed))


def _fit(arguments: argparse.Namespace) -> int:
    if arguments.canvas_px % 32:
        raise DatasetError(f"--canvas-px {arguments.canvas_px} is not a multiple of 32")
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    file = _read(arguments.file)
    begin = checkpoint_of(arguments.begin) if arguments.begin else None
    recipe = SlimRecipe(
        checksum(file),
        keep=arguments.keep,
        steps=arguments.steps,
        batch=arguments.batch,
        mean=arguments.mean,
        rate=arguments.rate,
        seed=arguments.seed,
        closer=arguments.closer,
        blurred=arguments.blurred,
        begun=checksum(_read(begin)) if begin else "",
    )
    canvases = _canvases(arguments, arguments.canvas_px, arguments.seed)
    try:
        own = SlimRun(file, recipe, canvases, arguments.folder, begin=begin, halves=arguments.halves)
    except DatasetError as error:
        raise DatasetError(f"{arguments.file}: {error}") from None
    own.start()
    is_stopped = run(own, save_every=arguments.save_every)
    return INTERRUPTED if is_stopped else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None


def _export(arguments: argparse.Namespace) -> int:
    check_name(arguments.name)
    size = Size(arguments.width, arguments.height)
    if size.width % 32 or size.height % 32:
        raise DatasetError(f"the input {size} must be a multiple of 32 both ways")
    torch.set_num_threads(1)
    network, mean = load_slim(arguments.folder)
    canvases = _canvases(arguments, min(size.width, size.height), 1)
    views = [canvases.make(number, size).image for number in range(VIEWS)]
    planes = (torch.from_numpy(np.ascontiguousarray(view.transpose(2, 0, 1)))[None].float() for view in views)
    pictures = (plane - mean for plane in planes)
    description = f"{arguments.name} of anonymizer's scripts/train"
    plain = emit(network, size, description=description, half_weights=True)
    fair = emit(even(network, pictures), size, description=description, half_weights=False)
    make_folder(arguments.out)
    for dtype, model in (("float32", plain), ("int8", to_int8(fair, views, mean=mean, limits=SURE))):
        path = arguments.out / f"{arguments.name}-{dtype}.tflite"
        write_whole(path, model)
        print(f"{path}: {len(model) / 1000:.0f} kB; `anonymizer models add {path}` tries it")
    return 0
