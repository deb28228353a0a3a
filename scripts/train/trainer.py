"""The training loop: batches in, checkpoints out; a killed run resumes to the very weights of an undisturbed one."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from anonymizer.errors import DatasetError
from scripts.train.backbones import PublishedBackbone
from scripts.train.canvas import CanvasMaker
from scripts.train.checkpoint import CHECKPOINT, find_checkpoint, load_checkpoint, recipe_of, save_checkpoint
from scripts.train.distil import Tutor, distillation
from scripts.train.losses import check_finite
from scripts.train.network import Detector
from scripts.train.networks import make_network
from scripts.train.objective import Batch, collate, losses_of
from scripts.train.picture import Picture
from scripts.train.pooled import PooledDetector, adopt
from scripts.train.recipe import Recipe
from scripts.train.stop import ignore_interrupts

OF_STEPS = ("steps", "warmup_steps")  # what of a recipe may change while a run rests


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step saw."""

    score_loss: float
    box_loss: float
    gradient: float  # norm before it was cut
    rate: float


class _Numbered(Dataset[Picture]):
    def __init__(self, maker: CanvasMaker) -> None:
        self._maker = maker

    def __getitem__(self, number: int) -> Picture:
        return self._maker.make(number)


class Trainer:
    """One run in one folder. Canvases are numbered, so the step alone says where in the data the run is."""

    def __init__(
        self, recipe: Recipe, maker: CanvasMaker, folder: Path, *, workers: int = 1, tutor: Tutor | None = None
    ) -> None:
        self.recipe = recipe
        self.step = 0
        self._maker = maker
        self._folder = folder
        self._workers = workers
        self._tutor = tutor
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(recipe.seed)
        network = make_network(recipe.architecture, len(recipe.classes), recipe.backbone)
        self.network = network.to(self._device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval()
        matrices = [each for each in network.parameters() if each.ndim > 1]
        vectors = [each for each in network.parameters() if each.ndim <= 1]
        self._optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=recipe.rate,
        )

    def start_from(self, place: Path) -> tuple[int, int]:
        """Take over the averaged weights of another run, or of its checkpoint, where names and shapes are the same.

        How many tensors these are, and of how many. Raises DatasetError if there are none.
        """
        path = find_checkpoint(place)
        found, own = load_checkpoint(path)["average"], self.network.state_dict()
        taken = {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}
        if not taken:
            raise DatasetError(f"{path}: none of its tensors fits the network {self.recipe.architecture}")
        own |= taken
        self.network.load_state_dict(own)
        self.average.load_state_dict(own)
        return len(taken), len(own)

    def adopt(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Take over libfacedetection's weights; raises DatasetError if the network has another shape."""
        if not isinstance(self.network, PooledDetector) or len(self.recipe.classes) != 1:
            raise DatasetError("libfacedetection's weights fit the networks pooled and pooled-far, with one class")
        adopt(self.network, arrays)
        self.average.load_state_dict(self.network.state_dict())

    def load_backbone(self, place: Path) -> None:
        """Take over the published weights of the recipe's backbone; raises DatasetError."""
        if not isinstance(self.network, Detector) or not isinstance(self.network.backbone, PublishedBackbone):
            raise DatasetError("published weights are of another backbone than the network's own: add --backbone")
        self.network.backbone.load(place)
        self.average.load_state_dict(self.network.state_dict())

    def resume(self) -> bool:
        """Go on from this run's checkpoint if there is one, or False; raises DatasetError if its recipe is another.

        The number of steps may be another, and what follows from it.
        """
        path = self._folder / CHECKPOINT
        if not path.exists():
            return False
        state = load_checkpoint(path)
        found, own = asdict(recipe_of(state)), asdict(self.recipe)
        for name in [each for each in found if each not in OF_STEPS]:
            if found[name] != own[name]:
                raise DatasetError(
                    f"{path} holds a run with {name} {found[name]}, not {own[name]}: go on with that, or name another "
                    "folder by --run, which may --start-from this one"
                )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        return True

    def save(self, name: str = CHECKPOINT) -> None:
        """All that the run needs to go on; a kill at any moment leaves the old file or the new one."""
        state = {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        save_checkpoint(self._folder / name, state)

    def batches(self) -> Iterator[Batch]:
        """All batches from the current step to the last one."""
        first, last = self.step * self.recipe.batch, self.recipe.steps * self.recipe.batch
        loader = DataLoader(
            _Numbered(self._maker),
            batch_size=self.recipe.batch,
            sampler=range(first, last),
            collate_fn=collate,
            num_workers=self._workers,
            worker_init_fn=ignore_interrupts,
            prefetch_factor=4 if self._workers else None,
            pin_memory=self._device.type == "cuda",
        )
        return iter(loader)

    def learn(self, batch: Batch) -> StepReport:
        """One step; raises DatasetError, with the weights as they were, once there are no numbers to learn by."""
        recipe, rate = self.recipe, self.recipe.rate_at(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        self.network.freeze(recipe.frozen_at(self.step))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            score_loss, box_loss = self._losses(batch.to(self._device))
        self._optimiser.zero_grad(set_to_none=True)
        (score_loss + recipe.box_weight * box_loss).backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), recipe.most_gradient)
        check_finite(norm, self.step, self._folder)
        self._optimiser.step()
        self._follow(recipe.kept_at(self.step + 1))
        self.step += 1
        return StepReport(score_loss.item(), box_loss.item(), norm.item(), rate)

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score loss and box loss, the labels' and the teacher's mixed."""
        gamma, share = self.recipe.gamma, self.recipe.truth_weight
        levels = self.network(batch.pictures.float())
        truth = losses_of(levels, batch.labels, gamma)
        if self._tutor is None:
            return truth
        taught = distillation(levels, self._tutor.teach(batch.pictures, levels), gamma)
        score_loss, box_loss = (share * own + (1 - share) * other for own, other in zip(truth, taught, strict=True))
        return score_loss, box_loss

    @torch.no_grad()
    def _follow(self, kept: float) -> None:
        for slow, fast in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - kept)
            else:
                slow.copy_(fast)
