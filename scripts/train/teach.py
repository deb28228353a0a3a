"""The command `teach`: what several teachers see at several sizes, joined with the labels that are there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.geometry import iou_matrix
from anonymizer.types import F32, Target
from scripts.train.arguments import share, zoom
from scripts.train.datasets.forms import WRITERS, Form, check_target, read_sets, write_set
from scripts.train.datasets.training_set import TrainingSet, class_of, joined, used_classes
from scripts.train.datasets.upright import check_upright
from scripts.train.picture import Sample
from scripts.train.teacher import Seen, View, look, look_both_ways, open_teacher

SAME_IOU = 0.45  # of what two views show of one target
LABELLED_IOU = 0.3  # with a label that is there: it stands, what a teacher adds goes


@dataclass(frozen=True, slots=True)
class Trust:
    """Which of the teachers' boxes are labels; doubtful ones are ignored, weaker ones left out."""

    alone: float = 0.8  # least score of what one view shows
    together: float = 0.6  # of what two or more show
    doubtful: float = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """Boxes of all views joined; all arrays share N."""

    boxes: F32  # (N, 4) means, weighted by score
    scores: F32  # (N,) best of all views
    views: np.ndarray  # (N,) how many show it


def fuse(seen: Sequence[Seen], class_id: int) -> Fused:
    """Boxes of one class: each joined with those of all views that overlap it, best first (Solovyev, 1910.13302)."""
    own = [each.class_ids == class_id for each in seen]
    boxes = np.concatenate(
        [np.zeros((0, 4), np.float32), *(each.boxes[at] for each, at in zip(seen, own, strict=True))]
    )
    scores = np.concatenate([np.zeros(0, np.float32), *(each.scores[at] for each, at in zip(seen, own, strict=True))])
    view = np.repeat(np.arange(len(seen)), [int(at.sum()) for at in own])
    overlap = iou_matrix(boxes, boxes)
    free = np.ones(len(boxes), np.bool_)
    rows = []
    for best in np.argsort(-scores, kind="stable").tolist():
        if free[best]:
            group = free & (overlap[best] > SAME_IOU)
            group[best] = True
            free &= ~group
            rows.append(
                (np.average(boxes[group], axis=0, weights=scores[group]), scores[best], np.unique(view[group]).size)
            )
    return Fused(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int64),
    )


def taught(sample: Sample, fused: Fused, class_id: int, trust: Trust) -> Sample:
    """The sample with what its labels of that class leave out; `class_id` is the data set's."""
    labelled = sample.boxes[sample.class_ids == class_id]
    fresh = ~(iou_matrix(fused.boxes, labelled) > LABELLED_IOU).any(axis=1) & (fused.scores >= trust.doubtful)
    sure = (fused.scores >= trust.alone) | ((fused.scores >= trust.together) & (fused.views >= 2))
    count = int(fresh.sum())
    return replace(
        sample,
        boxes=np.concatenate([sample.boxes, fused.boxes[fresh]]),
        class_ids=np.concatenate([sample.class_ids, np.full(count, class_id, np.int32)]),
        ignore=np.concatenate([sample.ignore, ~sure[fresh]]),
    )


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `teach`."""
    own = Trust()
    text = "label pictures with teachers, at several sizes and mirrored; labels that are there stand"
    parser = subparsers.add_parser("teach", help=text, description=text)
    parser.set_defaults(run=_run)
    parser.add_argument("labels", type=Path, nargs="+", help="files or folders of labels, which may be empty")
    parser.add_argument("--teacher", action="append", required=True, help="ONNX file or model of the zoo; repeat")
    parser.add_argument("--zoom", type=zoom, nargs="+", default=[0.5, 1.0, 2.0], help="sizes to look at (0.5 1 2)")
    parser.add_argument("--mirrored", action="store_true", help="look at every size mirrored too; counts as one view")
    parser.add_argument("--target", choices=[class_of(target) for target in Target], default="face")
    parser.add_argument("--alone", type=share, default=own.alone, help=f"score to trust one view ({own.alone})")
    parser.add_argument("--together", type=share, default=own.together, help=f"to trust several ({own.together})")
    parser.add_argument("--doubtful", type=share, default=own.doubtful, help=f"to ignore the place ({own.doubtful})")
    parser.add_argument("--to", type=Form, choices=list(WRITERS), default=Form.COCO, help="form to write (coco)")
    parser.add_argument("--out", type=Path, required=True, help="new folder")


def _run(arguments: argparse.Namespace) -> int:
    names, zooms = dict.fromkeys(arguments.teacher), dict.fromkeys(arguments.zoom)  # each once: views are counted
    teachers = {name: open_teacher(name) for name in names}
    trust = Trust(arguments.alone, arguments.together, arguments.doubtful)
    target = Target[arguments.target.upper()]
    data = joined([read_sets(arguments.labels), TrainingSet((arguments.target,), ())])
    check_target(arguments.out, arguments.to, [*used_classes(data), arguments.target])
    check_upright(data.samples)
    for name, teacher in teachers.items():
        if target not in teacher.targets:
            found = " and ".join(sorted(class_of(each) for each in teacher.targets))
            raise DatasetError(f"{name} finds {found}, no {arguments.target}: name another --teacher or --target")
    class_id = data.classes.index(arguments.target)
    samples = []
    for number, sample in enumerate(data.samples, start=1):
        rgb = sample.load().image
        seen = [
            look_both_ways(teacher, rgb, zoom) if arguments.mirrored else look(teacher, rgb, View(zoom))
            for teacher in teachers.values()
            for zoom in zooms
        ]
        samples.append(taught(sample, fuse(seen, target), class_id, trust))
        if number % 50 == 0:
            print(f"{number} of {len(data.samples)} pictures")
    write_set(TrainingSet(data.classes, tuple(samples)), arguments.out, arguments.to)
    added = sum(len(new.boxes) - len(old.boxes) for new, old in zip(samples, data.samples, strict=True))
    doubtful = sum(int(new.ignore.sum() - old.ignore.sum()) for new, old in zip(samples, data.samples, strict=True))
    print(f"{arguments.out}: {len(samples)} pictures; added {added - doubtful} labels and {doubtful} places to ignore")
    return 0
