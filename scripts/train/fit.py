"""The command `fit`: labelled pictures in, checkpoints and a learning curve out; stop it and start it at will."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from anonymizer.errors import DatasetError
from scripts.train.arguments import amount, count, natural, share
from scripts.train.augment import Augmentation, Augmenter
from scripts.train.backbones import BACKBONES
from scripts.train.canvas import Augment, CanvasMaker, CanvasSettings, store
from scripts.train.checkpoint import BEST
from scripts.train.curve import Curve
from scripts.train.datasets.forms import read_sets
from scripts.train.datasets.store import make_folder
from scripts.train.datasets.training_set import TrainingSet, known_pictures
from scripts.train.distil import Tutor, open_dense
from scripts.train.libfacedetection import NAME, fetch
from scripts.train.networks import NAMES
from scripts.train.picture import Sample
from scripts.train.recipe import Recipe
from scripts.train.stop import INTERRUPTED, StopRequest
from scripts.train.trainer import StepReport, Trainer
from scripts.train.validate import LONG_SIDE_PX, Precision, validate

CACHE = Path(".cache") / "models"
EVERY = 50  # steps of one line of progress
CROWDS = 0.5  # how much more often a picture is shown for each doubling of its boxes


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `fit`."""
    parser = subparsers.add_parser("fit", help="train a detector; run it again to go on")
    parser.set_defaults(run=_run)
    own = Recipe()
    parser.add_argument("labels", type=Path, nargs="+", help="files or folders of labels to learn from")
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="folder of checkpoints and curve")
    parser.add_argument("--validation", type=Path, nargs="*", default=[], help="labels to measure by")
    parser.add_argument("--validation-limit", type=natural, default=100, help="pictures of it (100)")
    parser.add_argument("--validation-px", type=count, default=LONG_SIDE_PX, help=f"their long side ({LONG_SIDE_PX})")
    parser.add_argument("--class", dest="classes", action="append", help="what to find; repeat for several (face)")
    parser.add_argument("--network", choices=NAMES, default=own.architecture)
    parser.add_argument("--backbone", choices=BACKBONES, default=own.backbone, help=f"of the network ({own.backbone})")
    parser.add_argument("--weights", type=Path, help="file or folder of the backbone's published weights")
    parser.add_argument(
        "--start-from", type=Path, help=f"checkpoint whose weights to begin with, or {NAME} (networks pooled*)"
    )
    parser.add_argument("--teacher", help="run, checkpoint or ONNX file whose score and box maps are learned too")
    parser.add_argument(
        "--teacher-zoom", type=int, choices=(1, 2), nargs="+", default=[1], help="sizes of its canvases (1)"
    )
    parser.add_argument(
        "--truth",
        type=share,
        default=own.truth_weight,
        help=f"share of the labels beside a teacher ({own.truth_weight})",
    )
    parser.add_argument("--steps", type=count, default=own.steps, help=f"batches in all ({own.steps})")
    parser.add_argument("--batch", type=count, default=own.batch, help=f"canvases ({own.batch})")
    parser.add_argument(
        "--canvas-px", type=count, default=own.canvas_px, help=f"side, a multiple of 32 ({own.canvas_px})"
    )
    parser.add_argument("--rate", type=amount, default=own.rate, help=f"highest learning rate ({own.rate})")
    parser.add_argument("--frozen", type=share, default=0.0, help="share of the steps with the backbone frozen (0)")
    parser.add_argument("--half-frozen", type=share, default=0.0, help="share with its lower half frozen (0)")
    parser.add_argument("--save-every", type=count, default=250, help="steps (250)")
    parser.add_argument("--validate-every", type=count, default=1000, help="steps (1000)")
    parser.add_argument(
        "--patience", type=natural, default=0, help="stop after so many validations without gain (never)"
    )
    parser.add_argument("--seed", type=natural, default=own.seed)
    parser.add_argument("--workers", type=natural, default=1, help="processes that make canvases (1)")
    parser.add_argument("--threads", type=count, default=1, help="of the training itself (1)")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.canvas_px % 32:
        raise DatasetError(f"--canvas-px {arguments.canvas_px} is not a multiple of 32")
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    classes = tuple(arguments.classes or ("face",))
    data = read_sets(arguments.labels).select(classes)
    held_back = read_sets(arguments.validation).select(classes).samples if arguments.validation else ()
    teacher, teacher_name = open_dense(arguments.teacher) if arguments.teacher else (None, "")
    if seen := known_pictures(held_back, data.samples):
        print(f"{seen} of the pictures to measure by are learned from too: AP50 will say more than is true of others")
    recipe = Recipe(
        architecture=arguments.network,
        backbone=arguments.backbone,
        classes=classes,
        steps=arguments.steps,
        batch=arguments.batch,
        canvas_px=arguments.canvas_px,
        rate=arguments.rate,
        warmup_steps=min(Recipe().warmup_steps, max(1, arguments.steps // 10)),
        frozen_share=arguments.frozen,
        half_frozen_share=arguments.half_frozen,
        teacher=teacher_name,
        teacher_zooms=tuple(arguments.teacher_zoom),
        truth_weight=arguments.truth,
        seed=arguments.seed,
    )
    tutor = Tutor(teacher, classes, recipe.teacher_zooms) if teacher else None
    canvases = make_canvases(data, recipe)
    trainer = Trainer(recipe, canvases, arguments.folder, workers=arguments.workers, tutor=tutor)
    if not trainer.resume():
        _begin(trainer, arguments.weights, arguments.start_from)
    is_stopped = fit(
        trainer,
        arguments.folder,
        spread(held_back, arguments.validation_limit),
        validation_px=arguments.validation_px,
        save_every=arguments.save_every,
        validate_every=arguments.validate_every,
        patience=arguments.patience,
    )
    return INTERRUPTED if is_stopped else 0


def _begin(trainer: Trainer, weights: Path | None, start_from: Path | None) -> None:
    """What a new run begins with; raises DatasetError if that is nothing, and is to rest."""
    recipe = trainer.recipe
    if not weights and not start_from:
        if recipe.frozen_share or recipe.half_frozen_share:
            raise DatasetError(
                "--frozen and --half-frozen keep what the backbone knows, but it begins with random weights: name by "
                "--weights or --start-from what it is to begin with"
            )
        if recipe.backbone != Recipe().backbone:
            print(f"{recipe.backbone} begins with random weights; those of ImageNet are named by --weights")
    if weights:
        trainer.load_backbone(weights)
    if start_from == Path(NAME):
        trainer.adopt(fetch(CACHE))
    elif start_from:
        taken, total = trainer.start_from(start_from)
        if taken < total:
            print(f"{start_from}: {taken} of {total} tensors taken over, those of other names or shapes are new")


def spread(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """At most so many, evenly spread over all."""
    at = np.linspace(0, len(samples) - 1, min(limit, len(samples))).round().astype(int)
    return [samples[each] for each in at.tolist()]


def make_canvases(data: TrainingSet, recipe: Recipe) -> CanvasMaker:
    """Canvases of all pictures of a data set, crowds more often, changed at random in light and damage."""
    pictures = [store(sample) for sample in data.samples]
    if not pictures:
        raise DatasetError("the labels name no pictures: nothing to learn from")
    weights = [1 + CROWDS * np.log2(1 + np.count_nonzero(~sample.ignore)) for sample in data.samples]
    face = recipe.classes.index("face") if "face" in recipe.classes else None
    settings = CanvasSettings(side_px=recipe.canvas_px)
    return CanvasMaker(pictures, weights, settings, camera_damage(face), recipe.seed)


def camera_damage(face_class_id: int | None) -> Augment:
    """Flip, slight rotation, light, masks, blur, noise and compression of a canvas as it is."""
    return Augmenter(
        Augmentation(
            canvas_px=None,
            object_height_px=None,
            zoom=(1.0, 1.0),
            shift=0.0,
            rotation_share=0.15,
            shear_share=0.1,
            face_class_id=face_class_id,
        )
    )


def fit(
    trainer: Trainer,
    folder: Path,
    held_back: Sequence[Sample],
    *,
    validation_px: int = LONG_SIDE_PX,
    save_every: int = 250,
    validate_every: int = 1000,
    patience: int = 0,
    say: Callable[[str], None] = print,
) -> bool:
    """Trains to the last step, or until `patience` validations have passed without gain (0: never).

    Whether Ctrl-C stopped it before. Leaves `checkpoint.pt`, `best.pt`, `curve.csv`, `curve.png` and TensorBoard's
    events in the folder.
    """
    make_folder(folder)
    curve = Curve(folder / "curve.csv", trainer.step)

    def is_due() -> bool:
        return bool(held_back) and (trainer.step % validate_every == 0 or trainer.step == trainer.recipe.steps)

    def measure() -> float:
        found = _measure(trainer, held_back, validation_px)
        say(f"step {trainer.step}: AP50 {', '.join(f'{name} {each}' for name, each in found.items())}")
        mean = float(np.mean([each.overall or 0.0 for each in found.values()]))
        if curve.is_best(mean):
            trainer.save(BEST)  # before the curve says so: a kill in between leaves no curve without its file
        curve.add(trainer.step, found, mean)
        curve.draw(folder / "curve.png")
        return mean

    if trainer.step and is_due() and curve.last_step < trainer.step:  # a kill came between the step and its validation
        measure()
    if trainer.step >= trainer.recipe.steps:
        say(f"{folder} is finished: it has done {trainer.step} steps; more by a greater --steps")
        return False
    if patience and curve.since_best >= patience:
        say(f"{folder} is finished: it had {patience} validations without gain; more by a greater --patience")
        return False
    with StopRequest() as stop, SummaryWriter(str(folder)) as board:
        reports: list[StepReport] = []
        began = time.monotonic()
        for batch in trainer.batches():
            reports.append(trainer.learn(batch))
            is_last = trainer.step == trainer.recipe.steps
            if trainer.step % EVERY == 0 or is_last:
                say(_progress(trainer, reports, time.monotonic() - began))
                _note(board, trainer.step, reports)
                reports, began = [], time.monotonic()
            if trainer.step % save_every == 0 or is_last:
                trainer.save()
            if is_due():
                board.add_scalar("AP50", measure(), trainer.step)
                if patience and curve.since_best >= patience:
                    trainer.save()
                    say(f"stopped: {patience} validations without gain")
                    return False
                began = time.monotonic()
            if stop.is_made and not is_last:
                trainer.save()
                say(f"stopped at step {trainer.step}; the same command goes on")
                return True
    return False


def _measure(trainer: Trainer, held_back: Sequence[Sample], side_px: int) -> dict[str, Precision]:
    names = trainer.recipe.classes
    return {name: validate(trainer.average, held_back, class_id, side_px) for class_id, name in enumerate(names)}


def _progress(trainer: Trainer, reports: Sequence[StepReport], spent_s: float) -> str:
    done, total = trainer.step, trainer.recipe.steps
    bar = ("#" * (20 * done // total)).ljust(20, ".")
    score, box = (np.mean([getattr(each, name) for each in reports]) for name in ("score_loss", "box_loss"))
    pace = len(reports) / max(spent_s, 1e-9)
    left_min = (total - done) / pace / 60
    pace_text = f"{pace * trainer.recipe.batch:.0f} canvases/s, {left_min:.0f} min left"
    return f"[{bar}] {done}/{total} score {score:.3f} box {box:.3f} {pace_text}"


def _note(board: SummaryWriter, step: int, reports: Sequence[StepReport]) -> None:
    for field in fields(StepReport):
        board.add_scalar(field.name, float(np.mean([getattr(each, field.name) for each in reports])), step)
