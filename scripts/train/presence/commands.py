"""The commands `presence train | compare | export | evaluate`."""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from scripts.train.arguments import count, natural
from scripts.train.datasets.forms import read_sets
from scripts.train.datasets.store import make_folder, save_rgb, write_whole
from scripts.train.presence.examples import Example, balanced
from scripts.train.presence.model import PresenceModel, try_model
from scripts.train.presence.sheet import sheet

_VIEWS = 200  # canvases that int8's ranges are taken from
_CHECKPOINT = "presence.pt"


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `presence`; each command sets `run`, which raises an AnonymizerError."""
    parser = subparsers.add_parser("presence", help="a classifier that says whether and where somebody is")
    commands = parser.add_subparsers(title="command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train on labelled pictures, then judge on held-back ones")
    train.set_defaults(run=_train)
    _add_learning(train)
    train.add_argument("--expansion", type=count, help="canvases of each example (4; 2 on a detector)")
    train.add_argument("--tune-epochs", type=natural, help="with what is below the dense layer (15; 1 on a detector)")
    train.add_argument("--side-px", type=count, help="of the canvases, a multiple of 32 (160; 256 on a detector)")
    train.add_argument("--calibrate", type=Path, nargs="+", default=[], help="other pictures to set the score's 0.5 on")
    train.add_argument("--out", type=Path, required=True, help=f"folder for {_CHECKPOINT}")

    compare = commands.add_parser("compare", help="what augmented copies bring: one training for each expansion")
    compare.set_defaults(run=_compare)
    _add_learning(compare)
    compare.add_argument("--expansion", type=count, nargs="+", default=[1, 2, 4, 8])

    export = commands.add_parser("export", help="write float32 and int8 TFLite files")
    export.set_defaults(run=_export)
    export.add_argument("checkpoint", type=Path)
    export.add_argument("labels", type=Path, nargs="+", help="labelled pictures to take int8's ranges from")
    export.add_argument("--width", type=count, default=320)
    export.add_argument("--height", type=count, default=192)
    export.add_argument("--out", type=Path, required=True, help="folder to write to")

    evaluate = commands.add_parser("evaluate", help="accuracy and pointing game of a TFLite file")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("model", type=Path)
    evaluate.add_argument("labels", type=Path, nargs="+")
    evaluate.add_argument("--per-picture", type=count, default=8, help="examples of each kind from a picture (8)")
    evaluate.add_argument("--mean", type=float, default=0.0, help="taken off the pixels, as export says (0)")
    evaluate.add_argument("--seed", type=natural, default=0)
    evaluate.add_argument("--sheet", type=Path, help="write pictures with their maps as PNG")


def _add_learning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", type=Path, nargs="+", help="to learn from")
    parser.add_argument("--held-back", type=Path, nargs="+", required=True, help="other pictures to judge on")
    weights = "MobileNetV2's of ImageNet (.pth), or the zoo's NanoDet-g in float32 (.tflite)"
    parser.add_argument("--weights", type=Path, required=True, help=weights)
    parser.add_argument("--per-picture", type=count, default=4, help="examples of each kind from a picture (4)")
    parser.add_argument("--seed", type=natural, default=0)


def _examples(paths: list[Path], per_picture: int, seed: int) -> list[Example]:
    """A share of the examples from each data set, so that each is balanced in itself."""
    rng = np.random.default_rng(seed)
    return [each for path in paths for each in balanced(read_sets([path]), rng, per_picture=per_picture)]


def _train(arguments: argparse.Namespace) -> int:
    import torch

    from scripts.train.checkpoint import save_checkpoint
    from scripts.train.presence.learn import cached, calibrate, train, try_net
    from scripts.train.presence.starting import recipe_for, start_net

    torch.set_num_threads(1)
    make_folder(arguments.out)
    net = start_net(arguments.weights)
    names = ("expansion", "tune_epochs", "seed", "side_px")
    asked = {name: getattr(arguments, name) for name in names}
    recipe = replace(recipe_for(net), **{key: value for key, value in asked.items() if value is not None})
    if recipe.side_px % net.stride_px:
        raise DatasetError(f"--side-px {recipe.side_px} is not a multiple of {net.stride_px}")
    examples = _examples(arguments.labels, arguments.per_picture, arguments.seed)
    held_back = [each.load() for each in _examples(arguments.held_back, arguments.per_picture, arguments.seed)]
    print(f"{len(examples)} examples, {recipe.expansion} canvases of each; {len(held_back)} held back", flush=True)
    train(net, cached(net, examples, recipe), recipe, say=lambda line: print(line, flush=True))
    if arguments.calibrate:
        others = _examples(arguments.calibrate, arguments.per_picture, arguments.seed)
        share = calibrate(net, cached(net, others, recipe), recipe)
        print(f"calibrated on {len(others)} others: {100 * share:.1f} % right")
    print(try_net(net, held_back, recipe.side_px))
    save_checkpoint(arguments.out / _CHECKPOINT, net.state_dict())
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    import torch

    from scripts.train.presence.learn import cached, copies_up_to, train, try_net
    from scripts.train.presence.starting import recipe_for, start_net

    torch.set_num_threads(1)
    net = start_net(arguments.weights)
    begun = copy.deepcopy(net.state_dict())
    recipe = replace(recipe_for(net), expansion=max(arguments.expansion), tune_epochs=0, seed=arguments.seed)
    held_back = [each.load() for each in _examples(arguments.held_back, arguments.per_picture, arguments.seed)]
    cache = cached(net, _examples(arguments.labels, arguments.per_picture, arguments.seed), recipe)
    for expansion in arguments.expansion:
        net.load_state_dict(begun)
        train(net, copies_up_to(cache, expansion, recipe), recipe, say=lambda line: None)
        print(f"expansion {expansion}: {try_net(net, held_back, recipe.side_px)}", flush=True)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from scripts.train.fit import spread
    from scripts.train.integer import to_int8
    from scripts.train.presence.fitted import fitted
    from scripts.train.presence.graph import to_tflite
    from scripts.train.presence.learn import answers_of
    from scripts.train.presence.starting import load_net

    width, height = arguments.width, arguments.height
    net = load_net(arguments.checkpoint)
    if width % net.stride_px or height % net.stride_px:
        raise DatasetError(f"the input {width}x{height} must be a multiple of {net.stride_px} both ways")
    samples = spread(read_sets(arguments.labels).samples, _VIEWS)
    views = [fitted(sample.load(), width, height)[0] for sample in samples]
    floating = to_tflite(net, width, height)
    make_folder(arguments.out)
    expected = np.array([answer.score for answer in answers_of(net, views)])
    for name, model in (("float32", floating), ("int8", to_int8(floating, views, mean=net.mean))):
        path = arguments.out / f"presence-{name}.tflite"
        write_whole(path, model)
        with PresenceModel(path, mean=net.mean) as written:
            errors = np.abs(expected - [written.answer(view).score for view in views])
        print(f"{path}: {len(model)} bytes; scores differ by {errors.mean():.4f} (mean), {errors.max():.4f} (greatest)")
    print(f"the input is RGB - {net.mean:g}: `presence evaluate --mean {net.mean:g}`")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    pictures = [each.load() for each in _examples(arguments.labels, arguments.per_picture, arguments.seed)]
    with PresenceModel(arguments.model, mean=arguments.mean) as model:
        trial = try_model(model, pictures)
        print(f"{arguments.model.name} at {model.input_size}: {trial.verdict}; {trial.cpu_ms:.1f} ms")
    if arguments.sheet:
        save_rgb(arguments.sheet, sheet(trial.drawn))
    return 0
