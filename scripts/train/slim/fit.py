"""The run that narrows a file and teaches it: checkpoints that resume exactly, an average of the weights at the end."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from anonymizer.errors import DatasetError
from scripts.train.canvas import CanvasMaker
from scripts.train.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from scripts.train.losses import check_finite
from scripts.train.slim.budget import prune
from scripts.train.slim.closer import check_closer, look_closer
from scripts.train.slim.lesson import Losses, compare, landmarks
from scripts.train.slim.network import SlimNetwork
from scripts.train.slim.pictures import Pictures
from scripts.train.slim.reading import open_network
from scripts.train.slim.recipe import SlimRecipe, check_same, checksum
from scripts.train.slim.surgery import merge
from scripts.train.stop import StopRequest

MEASURED = 96  # canvases by which channels are chosen
FAR = 1 << 30  # number of the first of them, which no run reaches
MOST_GRADIENT = 5.0  # norm
EVERY = 50  # steps of one line of progress
SMALL = 1e-4  # added to a tensor's size, for biases that begin with nothing


class SlimRun:
    """One run in one folder; raises DatasetError if the file is of an unknown kind or has no score."""

    def __init__(
        self,
        file: bytes,
        recipe: SlimRecipe,
        canvases: CanvasMaker,
        folder: Path,
        *,
        begin: Path | None = None,
        halves: bool = False,
    ) -> None:
        """`halves`: in bfloat16 but for weights and losses, twice as fast where the processor has it.

        `begin`: checkpoint of a run on this file that is narrowed further; the file itself stays the teacher.
        """
        self.recipe = recipe
        self.step = 0
        self._file = file
        self._pictures = Pictures(canvases, recipe)
        self._begin = begin
        self._halves = halves
        self._folder = folder
        self._teacher = open_network(file).eval().to(memory_format=torch.channels_last)
        self._score = score_of(self._teacher)
        if recipe.closer:
            check_closer(self._teacher.plan)

    def start(self) -> None:
        """Goes on from this folder's checkpoint, or narrows the file; raises DatasetError if the run is another."""
        path = self._folder / CHECKPOINT
        state = load_checkpoint(path) if path.exists() else None
        if state is not None:
            check_same(self.recipe, state["recipe"], path)
        network = open_network(self._file)
        merge(network)
        if state is None:
            if self._begin is not None:
                network.adopt(self._begun(self._begin)["average"])
            batches = (self._pictures.clear(FAR + at) for at in range(0, MEASURED, self.recipe.batch))
            prune(network, batches, self._score, self.recipe.keep)
        else:
            network.adopt(state["network"])
        self._take(network.to(memory_format=torch.channels_last))
        if state is not None:
            self._average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._sizes = state["sizes"]
            self.step = state["step"]

    def _begun(self, path: Path) -> dict[str, Any]:
        state = load_checkpoint(path)
        if "file" not in state or checksum(state["file"].numpy().tobytes()) != self.recipe.file:
            raise DatasetError(f"{path} is no checkpoint of `slim fit` on this file")
        return state

    def _take(self, network: SlimNetwork) -> None:
        self._network = network
        self._average = copy.deepcopy(network)
        self._marks = landmarks(network)
        # each tensor its own group: its rate goes by the size of its values
        self._optimiser = torch.optim.Adam(
            [{"params": [each], "lr": 0.0} for each in network.parameters()], betas=(0.9, 0.99)
        )
        self._sizes = [float(each.detach().square().mean().sqrt()) + SMALL for each in network.parameters()]

    def learn(self) -> Losses:
        """One step; raises DatasetError, with the weights as they were, once there are no numbers to learn by."""
        pictures, shown = self._pictures.batch(self.step * self.recipe.batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._halves):
            with torch.no_grad():
                expected = self._teacher(pictures, self._marks)
                if self.recipe.closer:
                    expected = look_closer(self._teacher, pictures, expected)
            found = self._network(shown, self._marks)
        losses = compare(self._network.plan, found, expected, self._marks)
        self._optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), MOST_GRADIENT)
        check_finite(norm, self.step, self._folder)
        rate = self.recipe.rate_at(self.step)
        for group, size in zip(self._optimiser.param_groups, self._sizes, strict=True):
            group["lr"] = rate * size
        self._optimiser.step()
        self._follow(self.recipe.kept_at(self.step))
        self.step += 1
        return losses.detach()

    @torch.no_grad()
    def _follow(self, kept: float) -> None:
        for slow, fast in zip(self._average.parameters(), self._network.parameters(), strict=True):
            slow.lerp_(fast, 1 - kept)

    def save(self) -> None:
        """All that the run needs to go on; a kill at any moment leaves the old file or the new one."""
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "file": torch.frombuffer(bytearray(self._file), dtype=torch.uint8),
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "sizes": self._sizes,
        }
        save_checkpoint(self._folder / CHECKPOINT, state)


def score_of(network: SlimNetwork) -> str:
    """The output by which it is judged where something is; raises DatasetError."""
    if not network.plan.scores:
        raise DatasetError("has no output behind a sigmoid, so no scores to learn from")
    return min(network.plan.scores)


def checkpoint_of(place: Path) -> Path:
    """Of a run's folder, or the file itself."""
    return place / CHECKPOINT if place.is_dir() else place


def load_slim(place: Path) -> tuple[SlimNetwork, float]:
    """The averaged weights of a run's checkpoint, or of its folder, and the mean of its input; raises DatasetError."""
    path = checkpoint_of(place)
    state = load_checkpoint(path)
    if "file" not in state:
        raise DatasetError(f"{path} is no checkpoint of `slim fit`")
    network = open_network(state["file"].numpy().tobytes())
    merge(network)
    network.adopt(state["average"])
    merge(network)  # again: what was not worth it before may be now
    return network.eval(), float(state["recipe"].get("mean", 0.0))


def run(own: SlimRun, *, save_every: int, say: Callable[[str], None] = print) -> bool:
    """Trains to the last step; started again, goes on where it was. Whether Ctrl-C stopped it before."""
    with StopRequest() as stop:
        return _run(own, save_every, say, stop)


def _run(own: SlimRun, save_every: int, say: Callable[[str], None], stop: StopRequest) -> bool:
    parts: list[tuple[float, ...]] = []
    began = time.monotonic()
    while own.step < own.recipe.steps:
        losses = own.learn()
        parts.append((losses.scores.item(), losses.boxes.item(), losses.maps.item()))
        is_last = own.step == own.recipe.steps
        if own.step % EVERY == 0 or is_last:
            scores, boxes, maps = np.mean(parts, axis=0)
            pace = len(parts) / max(time.monotonic() - began, 1e-9)
            left_min = (own.recipe.steps - own.step) / pace / 60
            far = f"{own.step}/{own.recipe.steps}"
            say(f"{far} scores {scores:.3f} boxes {boxes:.3f} maps {maps:.3f} {left_min:.0f} min left")
            parts, began = [], time.monotonic()
        if own.step % save_every == 0 or is_last or stop.is_made:
            own.save()
        if stop.is_made and not is_last:
            say(f"stopped at step {own.step}; the same command goes on")
            return True
    return False
