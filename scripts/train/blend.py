"""The command `blend`: weights between two networks of one shape, which keep what the first one knew."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anonymizer.errors import DatasetError
from scripts.train.checkpoint import find_checkpoint, load_checkpoint, load_network, recipe_of, save_checkpoint
from scripts.train.fit import CACHE
from scripts.train.libfacedetection import NAME, fetch
from scripts.train.networks import make_network
from scripts.train.pooled import PooledDetector, adopt


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `blend`."""
    text = "mix the weights of a network and of what it became by more training"
    parser = subparsers.add_parser("blend", help=text, description=text)
    parser.set_defaults(run=_run)
    parser.add_argument("first", type=Path, help=f"run or checkpoint, or {NAME}")
    parser.add_argument("second", type=Path, help="run or checkpoint that was trained from the first")
    parser.add_argument("--share", type=float, default=0.25, help="of the second, 0 to 1 (0.25)")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")


def _run(arguments: argparse.Namespace) -> int:
    if not 0 <= arguments.share <= 1:
        raise DatasetError(f"--share {arguments.share} is not between 0 and 1")
    second = load_checkpoint(find_checkpoint(arguments.second))
    began = arguments.first == Path(NAME)
    first = _began(second) if began else load_network(arguments.first)[0].state_dict()
    second["average"] = blend(first, second["average"], arguments.share)
    save_checkpoint(arguments.out, second)
    print(f"{arguments.out}: {arguments.share:.0%} of {arguments.second}; `export` takes it")
    return 0


def blend(first: dict[str, Tensor], second: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Every weight interpolated linearly, counters those of the second (Wortsman et al. 2022, 2109.01903).

    Raises DatasetError for networks of different shapes.
    """
    if {name: value.shape for name, value in first.items()} != {name: value.shape for name, value in second.items()}:
        raise DatasetError("the two networks have different shapes: blend a network with what it became")
    return {
        name: torch.lerp(value, second[name], share) if value.is_floating_point() else second[name]
        for name, value in first.items()
    }


def _began(state: dict[str, Any]) -> dict[str, Tensor]:
    """What a run that started from libfacedetection began with."""
    recipe = recipe_of(state)
    torch.manual_seed(recipe.seed)
    network = make_network(recipe.architecture, len(recipe.classes))
    if not isinstance(network, PooledDetector):
        raise DatasetError(f"a run of the network {recipe.architecture} did not begin with {NAME}")
    adopt(network, fetch(CACHE))
    return network.state_dict()
