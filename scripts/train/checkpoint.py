"""The files that a run leaves: what they hold, and the network in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from anonymizer.errors import DatasetError
from scripts.train.datasets.store import make_folder
from scripts.train.networks import Network, make_network
from scripts.train.recipe import Recipe
from scripts.train.stored import load_stored

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """A kill at any moment leaves the old file or the new one; makes the folder.

    Raises DatasetError, also for weights that are no numbers, which nothing could be learned from any more.
    """
    weights = [value for each in (state, state.get("network", {}), state.get("average", {})) for value in each.values()]
    if not all(value.isfinite().all() for value in weights if isinstance(value, torch.Tensor)):
        raise DatasetError(
            f"{path}: is not written, for weights are no numbers any more; what was saved before is kept: begin again "
            "in another folder with a lower --rate"
        )
    make_folder(path.parent)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # of a full disk PyTorch only says that a position is not what it expects
        part.unlink(missing_ok=True)
        reason = (error.strerror if isinstance(error, OSError) else None) or "the disk may be full"
        raise DatasetError(f"{path}: cannot be written: {reason}; what was saved before is kept") from None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What a run saved, on the CPU; raises DatasetError."""
    state = load_stored(path, "checkpoint of this program")
    if "average" not in state or "recipe" not in state:
        raise DatasetError(f"{path}: is no checkpoint of this program: it holds other tensors")
    return state


def recipe_of(state: Mapping[str, Any]) -> Recipe:
    """The recipe in a checkpoint; what an older one does not name is as it was then. Raises DatasetError."""
    try:
        found = Recipe(**state["recipe"])
    except TypeError:
        raise DatasetError("the checkpoint is of another command than `fit`: name one of `fit`") from None
    return replace(found, classes=tuple(found.classes), teacher_zooms=tuple(found.teacher_zooms))


def find_checkpoint(place: Path) -> Path:
    """The file itself, or a run's best or last one."""
    if not place.is_dir():
        return place
    return next((place / name for name in (BEST, CHECKPOINT) if (place / name).exists()), place / CHECKPOINT)


def load_network(place: Path) -> tuple[Network, Recipe]:
    """The averaged weights of a checkpoint, or of a run's best or last one; raises DatasetError."""
    state = load_checkpoint(find_checkpoint(place))
    recipe = recipe_of(state)
    network = make_network(recipe.architecture, len(recipe.classes), recipe.backbone)
    network.load_state_dict(state["average"])
    return network.eval(), recipe
