"""The commands `dataset convert | stats | view | split | expand | label | from-ava | from-clip`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from anonymizer import __version__
from anonymizer.clock import SystemClock
from anonymizer.detect.attentive import AttentiveDetector
from anonymizer.detect.detector import CompositeDetector
from anonymizer.detectors import make_detector
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.settings.schema import Settings, TargetName
from scripts.train.arguments import amount, count, natural, share
from scripts.train.augment import Augmentation, Augmenter, mosaic
from scripts.train.datasets.ava import PERSON
from scripts.train.datasets.expand import expand
from scripts.train.datasets.forms import WRITERS, Form, check_target, read_sets, write_set
from scripts.train.datasets.from_ava import cut_frames
from scripts.train.datasets.from_clip import CLASSES, label_clips
from scripts.train.datasets.label import label_pictures
from scripts.train.datasets.sheet import contact_sheet
from scripts.train.datasets.split import split_set
from scripts.train.datasets.stats import as_table, measure, plot
from scripts.train.datasets.store import fresh_folder, save_rgb
from scripts.train.datasets.training_set import TrainingSet, used_classes
from scripts.train.datasets.upright import check_upright
from scripts.train.picture import Picture

Run = Callable[[argparse.Namespace], int]
_SHEET_LIMIT = 400


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `dataset`; each command sets `run`, which raises an AnonymizerError."""
    parser = subparsers.add_parser("dataset", help="read, convert, show and make labelled pictures")
    commands = parser.add_subparsers(title="command", required=True, metavar="COMMAND")

    def command(name: str, run: Run, text: str, *, source: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        if source:
            added.add_argument("labels", type=Path, nargs="+", help="file or folder of labels; several are joined")
            added.add_argument("--from", dest="source", type=Form, choices=list(Form), help="default: told by the file")
            added.add_argument("--pictures", type=Path, help="their folder, if it is not beside the labels")
            added.add_argument("--class", dest="classes", action="append", help="only this one; repeat for several")
        return added

    convert = command("convert", _convert, "write the labels in another form, with copies of the pictures")
    _add_target(convert)

    stats = command("stats", _stats, "count boxes by class, height, number in a picture, shape and place")
    stats.add_argument("--plot", type=Path, help="write the plots as PNG")

    view = command("view", _view, "show pictures and boxes on a sheet")
    view.add_argument("--out", type=Path, required=True, help="PNG or JPEG to write")
    view.add_argument("--augmented", action="store_true", help="as augmented for training, every fourth a mosaic")
    view.add_argument("--count", type=count, default=24, help="pictures, evenly spread (24)")
    view.add_argument("--columns", type=count, default=6)
    view.add_argument("--seed", type=natural, default=0)

    split = command("split", _split, "divide into parts; frames of one clip stay together")
    split.add_argument("--part", type=_part, action="append", required=True, metavar="NAME=SHARE")
    split.add_argument("--single", action="store_true", help="each picture by itself, whatever clip it comes from")
    split.add_argument("--seed", type=natural, default=0)
    _add_target(split)

    enlarge = command("expand", _expand, "add augmented copies of each picture")
    enlarge.add_argument("--factor", type=count, default=4, help="times as many pictures (4)")
    enlarge.add_argument("--seed", type=natural, default=0)
    _add_target(enlarge)

    label = command("label", _label, "add what the models of the product find to the labels, for correction")
    _add_detector(label)
    _add_target(label)

    cut = command("from-ava", _from_ava, "cut AVA's annotated frames out of local video files", source=False)
    cut.add_argument("labels", type=Path, help="AVA's CSV")
    cut.add_argument("--videos", type=Path, required=True, help="folder of files named by video_id")
    cut.add_argument("--per-video", type=count, help="time stamps of each video, evenly spread (all)")
    cut.add_argument("--starts-at-s", type=float, default=0.0, help="second of the film at which the files begin (0)")
    _add_target(cut)

    sample = command("from-clip", _from_clip, "sample recordings and label them for correction", source=False)
    sample.add_argument("clips", type=Path, nargs="+")
    sample.add_argument("--every-s", type=amount, default=2.0, help="seconds between pictures (2)")
    sample.add_argument("--scene-change", type=amount, help="least mean change in levels of 255 between pictures")
    sample.add_argument("--limit", type=count, help="pictures of each clip")
    _add_detector(sample)
    _add_target(sample)


def _add_detector(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", choices=CLASSES, action="append", help="both")
    parser.add_argument("--sure", type=share, default=0.5, help="boxes that score less are marked as ignored (0.5)")
    parser.add_argument("--least", type=share, default=0.3, help="boxes that score less are left out (0.3)")


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", type=Form, choices=list(WRITERS), default=Form.COCO, help="form (coco)")
    parser.add_argument("--out", type=Path, required=True, help="new folder")


def _read(arguments: argparse.Namespace) -> TrainingSet:
    data = read_sets(arguments.labels, arguments.source, arguments.pictures)
    return data.select(arguments.classes) if arguments.classes else data


def _write(data: TrainingSet, folder: Path, form: Form) -> None:
    left_out = str(write_set(data, folder, form))
    boxes = sum(len(sample.boxes) for sample in data.samples)
    print(f"{folder}: {len(data.samples)} pictures, {boxes} boxes" + (f"; left out: {left_out}" if left_out else ""))


def _convert(arguments: argparse.Namespace) -> int:
    _write(_read(arguments), arguments.out, arguments.to)
    return 0


def _stats(arguments: argparse.Namespace) -> int:
    stats = measure(_read(arguments))
    print(as_table(stats))
    if arguments.plot:
        save_rgb(arguments.plot, np.ascontiguousarray(plot(stats)[..., ::-1]))
    return 0


def _view(arguments: argparse.Namespace) -> int:
    data = _read(arguments)
    chosen = np.linspace(0, len(data.samples) - 1, min(arguments.count, _SHEET_LIMIT, len(data.samples)))
    pictures = [data.samples[at].load() for at in chosen.round().astype(int).tolist()]
    if arguments.augmented:
        pictures = augmented(pictures, np.random.default_rng(arguments.seed), data.classes)
    save_rgb(arguments.out, contact_sheet(pictures, data.classes, columns=arguments.columns))
    return 0


def augmented(pictures: list[Picture], rng: np.random.Generator, classes: tuple[str, ...]) -> list[Picture]:
    """Each picture as training sees it; every fourth is a mosaic of four."""
    augmenter = Augmenter(settings_for(classes))
    shown = []
    for at, picture in enumerate(pictures):
        if at % 4 == 3:
            others = [pictures[int(each)] for each in rng.integers(len(pictures), size=3)]
            picture = mosaic([picture, *others], (320, 320), rng)
        shown.append(augmenter(picture, rng))
    return shown


def settings_for(classes: tuple[str, ...]) -> Augmentation:
    """The defaults, masks on faces only."""
    return Augmentation(face_class_id=classes.index("face") if "face" in classes else None)


def _split(arguments: argparse.Namespace) -> int:
    parts = split_set(_read(arguments), dict(arguments.part), seed=arguments.seed, by_source=not arguments.single)
    with ExitStack() as stack:  # one part that fails takes the others with it
        for name in parts:
            stack.enter_context(fresh_folder(arguments.out / name))
        for name, part in parts.items():
            _write(part, arguments.out / name, arguments.to)
    return 0


def _expand(arguments: argparse.Namespace) -> int:
    data = _read(arguments)
    check_target(arguments.out, arguments.to, used_classes(data))
    with tempfile.TemporaryDirectory() as folder:
        augmenter = Augmenter(settings_for(data.classes))
        enlarged = expand(data, Path(folder), augmenter, factor=arguments.factor, seed=arguments.seed)
        _write(enlarged, arguments.out, arguments.to)
    return 0


def _from_ava(arguments: argparse.Namespace) -> int:
    check_target(arguments.out, arguments.to, (PERSON,))
    with tempfile.TemporaryDirectory() as folder:
        cut = cut_frames(
            arguments.labels,
            arguments.videos,
            Path(folder),
            per_video=arguments.per_video,
            starts_at_s=arguments.starts_at_s,
        )
        _write(cut.data, arguments.out, arguments.to)
    for video in cut.missing:
        print(f"missing: {video}")
    for frame in cut.before:
        print(f"before the beginning of its file: {frame}")
    for frame in cut.beyond:
        print(f"past the end of its file: {frame}")
    return 0


def _label(arguments: argparse.Namespace) -> int:
    labelled = _read(arguments)
    check_target(arguments.out, arguments.to, [*used_classes(labelled), *(arguments.target or CLASSES)])
    check_upright(labelled.samples)
    with _detector(arguments) as detector:
        data = label_pictures(labelled, detector, sure=arguments.sure)
    _write(data, arguments.out, arguments.to)
    return 0


def _from_clip(arguments: argparse.Namespace) -> int:
    classes = sorted(set(arguments.target or CLASSES))
    check_target(arguments.out, arguments.to, classes)
    with tempfile.TemporaryDirectory() as folder, _detector(arguments) as detector:
        data = label_clips(
            arguments.clips,
            Path(folder),
            detector,
            every_s=arguments.every_s,
            scene_change=arguments.scene_change,
            limit=arguments.limit,
            sure=arguments.sure,
        )
        _write(data.select(classes), arguments.out, arguments.to)
    return 0


def _detector(arguments: argparse.Namespace) -> CompositeDetector | AttentiveDetector:
    """The product's models of the wanted targets, not started."""
    update = {"face_threshold": arguments.least, "person_threshold": arguments.least, "threads": 1}
    return make_detector(
        Settings().detect.model_copy(update=update),
        frozenset(TargetName(name) for name in arguments.target or CLASSES),
        is_flat=True,
        clock=SystemClock(),
        meter=PrometheusMeter(version=__version__, runtime=""),
    )


def _part(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no NAME=SHARE, like train=0.8") from None
