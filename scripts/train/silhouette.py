"""The command `silhouette`: teaches a cheap head to draw the masks that the whole network of silhouettes draws."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from anonymizer.detect.shape import UNSURE_LOGIT
from anonymizer.detect.silhouette import AROUND
from anonymizer.errors import DatasetError
from anonymizer.types import F32, U8
from anonymizer.zoo import Zoo
from scripts.models import pose_mask
from scripts.models.graph import constant, read
from scripts.train.arguments import amount, count, natural
from scripts.train.augment import Augmentation, Augmenter
from scripts.train.datasets.clip import sampled_stills
from scripts.train.picture import Picture
from scripts.train.teacher import View, ZooTeacher, look

FINDER = "nanodet-g-640-int8"
SURE = 0.35  # score of a person
LEAST_PX = 48  # of a person's height
INPUT_PX = 256
ROOM = 1.4  # of a square around a square, so that it can be moved and turned
SQUARE_PX = round(ROOM * INPUT_PX)
PATCH_PX = 48  # of features
PATCHES = 4  # of each picture, all but one at the border of its mask
MARGIN_PX = 10  # of a patch's mask: near a patch's edge a head sees less than it would in a picture
NEAR_PX = 9  # side of the square in which a mask must change for its pixels to be near its border
NEAR_WEIGHT = 4.0  # of those, beside 1 for all
CORNER_PX, CORNER_WEIGHT = 3, 500.0  # of a picture's corners: one false pixel at its border, and no mask is used
CHANNELS = 8  # of features
COUNTED = 2000  # patches that unsure pixels are counted in
OWN_RATE = 0.1  # of the network's own blocks, beside 1 for new ones

F16 = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """How a head learns."""

    pictures: int = 2000
    steps: int = 5000
    batch: int = 16  # patches
    rate: float = 5e-3
    seed: int = 0


class Block(nn.Module):
    """A depthwise and a 1x1 convolution, added to what comes in."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._activation = activation
        self.deep = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS)
        self.flat = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """As many features."""
        return self._activation(x + self.flat(self._activation(self.deep(x))))


class Head(nn.Module):
    """Features (N, 8, H, W) to logits (N, 1, 2H, 2W)."""

    def __init__(self) -> None:
        super().__init__()
        own, new = pose_mask.OWN_BLOCKS, pose_mask.BLOCKS - pose_mask.OWN_BLOCKS
        self.blocks = nn.Sequential(*(Block(each) for each in [functional.relu6] * own + [functional.relu] * new))
        self.draw = nn.Conv2d(CHANNELS, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The mask, more than 0 where somebody is."""
        return functional.pixel_shuffle(self.draw(self.blocks(x)), 2)

    def weights(self) -> dict[str, F32]:
        """What `pose_mask.draw` takes."""
        found: dict[str, Tensor] = {}
        for number, block in enumerate(self.blocks):
            found |= {f"deep{number}": block.deep.weight.permute(1, 2, 3, 0), f"deep{number}_bias": block.deep.bias}
            found |= {f"flat{number}": block.flat.weight.permute(0, 2, 3, 1), f"flat{number}_bias": block.flat.bias}
        found |= {"draw": self.draw.weight.permute(0, 2, 3, 1), "draw_bias": self.draw.bias}
        return {name: np.ascontiguousarray(values.detach().numpy()) for name, values in found.items()}

    def begin_as(self, weights: pose_mask.Head) -> None:
        """Take over some of the weights."""
        with torch.no_grad():
            for number, block in enumerate(self.blocks):
                if f"deep{number}" in weights:
                    for layer, name, order in ((block.deep, "deep", (3, 0, 1, 2)), (block.flat, "flat", (0, 3, 1, 2))):
                        layer.weight.copy_(torch.tensor(weights[f"{name}{number}"].transpose(order)))
                        layer.bias.copy_(torch.tensor(weights[f"{name}{number}_bias"]))


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Patches of what the head will see, and of the masks of the whole network."""

    features: F16  # (N, P, P, 8)
    logits: F16  # (N, 2P, 2P)
    weights: F16  # (N, 2P, 2P): of pixels; 0 where a head sees less than it would see in the whole picture


class Network:
    """The whole network, which also tells what a head would see."""

    def __init__(self, file: bytes) -> None:
        self._interpreter = Interpreter(model_content=file, num_threads=1)
        self._interpreter.allocate_tensors()
        self._places = {item["name"]: item["index"] for item in self._interpreter.get_output_details()}

    def look(self, rgb: U8) -> tuple[F32, F32]:
        """Features (H, W, 8) and logits (2H, 2W) of a picture (256, 256, 3)."""
        self._interpreter.set_tensor(
            self._interpreter.get_input_details()[0]["index"], rgb[None].astype(np.float32) / 255
        )
        self._interpreter.invoke()
        features, mask = (self._interpreter.get_tensor(self._places[name])[0] for name in ("features", "mask"))
        return features, mask[..., 0]


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `silhouette`; it sets `run`, which raises an AnonymizerError."""
    own = HeadRecipe()
    parser = subparsers.add_parser("silhouette", help="teach the head of the network that draws silhouettes")
    parser.set_defaults(run=_teach)
    parser.add_argument("clips", type=Path, nargs="+", help="recordings with people in them; no labels are needed")
    parser.add_argument("--every-s", type=amount, default=0.4, help="seconds between two pictures of a clip (0.4)")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the package that the network comes from")
    parser.add_argument("--record", type=Path, required=True, help="file to write, as scripts/models/build reads it")
    parser.add_argument("--pictures", type=count, default=own.pictures, help=f"to learn from ({own.pictures})")
    parser.add_argument("--steps", type=count, default=own.steps, help=f"batches ({own.steps})")
    parser.add_argument("--rate", type=amount, default=own.rate, help=f"at its peak ({own.rate})")
    parser.add_argument("--seed", type=natural, default=own.seed)


def _teach(arguments: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    recipe = HeadRecipe(arguments.pictures, arguments.steps, rate=arguments.rate, seed=arguments.seed)
    weights = pose_mask.source(Zoo().silhouettes.spec(pose_mask.NAME), arguments.cache)
    squares = [list(people(clip, arguments.every_s)) for clip in arguments.clips]
    if not all(squares):
        raise DatasetError(f"{arguments.clips[squares.index([])]}: nobody was found in it")
    print(f"{sum(map(len, squares))} people", flush=True)
    lessons = prepare(squares, Network(pose_mask.build(weights)), recipe)
    head = learn(lessons, recipe, begin=own_blocks(weights))
    print(f"logits times {make_as_sure(head, lessons):.3f}")
    pose_mask.write_head(arguments.record, head.weights())
    return 0


def people(clip: Path, every_s: float) -> Iterator[U8]:
    """Squares (SQUARE_PX, SQUARE_PX, 3) around everybody who is found in a clip, with room; raises DatasetError."""
    finder = ZooTeacher(FINDER)
    width, height = (getattr(Zoo().detectors.spec(FINDER).input, side) for side in ("width", "height"))
    for still in sampled_stills(clip, every_s=every_s):
        rows, columns = still.image.shape[:2]
        found = look(finder, still.image, View(min(width / columns, height / rows)))
        for x1, y1, x2, y2 in found.boxes[found.scores >= SURE].tolist():
            if y2 - y1 >= LEAST_PX:
                side = round(ROOM * AROUND * max(x2 - x1, y2 - y1))
                yield _square(still.image, round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2), side)


def _square(image: U8, left: int, top: int, side: int) -> U8:
    """That part of an image, black where the image ends."""
    rows, columns = image.shape[:2]
    canvas = np.zeros((side, side, 3), np.uint8)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + side, columns), min(top + side, rows)
    canvas[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    how = cv2.INTER_AREA if side > SQUARE_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(canvas, (SQUARE_PX, SQUARE_PX), interpolation=how), np.uint8)


def prepare(squares: Sequence[Sequence[U8]], network: Network, recipe: HeadRecipe) -> Lessons:
    """Patches of changed pictures of somebody out of each clip in turn."""
    zoom = (0.75 * ROOM, 1.3 * ROOM)
    change = Augmenter(
        Augmentation((INPUT_PX, INPUT_PX), object_height_px=None, zoom=zoom, shift=0.08, face_class_id=None)
    )
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_)
    features, logits, weights = [], [], []
    for number in range(recipe.pictures):
        rng = np.random.default_rng((recipe.seed, number))
        clip = squares[number % len(squares)]
        seen, mask = network.look(change(Picture(clip[int(rng.integers(len(clip)))], *nothing), rng).image)
        border = np.argwhere(cv2.Laplacian((mask > 0).astype(np.uint8), cv2.CV_16S)) // 2
        for patch in range(PATCHES):
            at_border = len(border) > 0 and patch < PATCHES - 1
            last = np.array(seen.shape[:2]) - PATCH_PX
            if at_border:
                corner = border[rng.integers(len(border))] - rng.integers(PATCH_PX // 6, PATCH_PX * 5 // 6, 2)
            else:  # two times of three at an edge of the picture, in height and in width
                corner = rng.integers(-last, 2 * last + 1)
            y, x = np.clip(corner, 0, last)
            whole = np.zeros((2 * seen.shape[0], 2 * seen.shape[1]), np.float16)
            whole[_inner(y, last[0]), _inner(x, last[1])] = 1
            ends = np.r_[:CORNER_PX, -CORNER_PX:0]
            whole[np.ix_(ends, ends)] *= CORNER_WEIGHT
            weights.append(whole[2 * y : 2 * (y + PATCH_PX), 2 * x : 2 * (x + PATCH_PX)])
            features.append(seen[y : y + PATCH_PX, x : x + PATCH_PX].astype(np.float16))
            logits.append(mask[2 * y : 2 * (y + PATCH_PX), 2 * x : 2 * (x + PATCH_PX)].astype(np.float16))
    return Lessons(np.stack(features), np.stack(logits), np.stack(weights))


def _inner(start: int, last: int) -> slice:
    """Of a mask's rows or columns, those in a patch and away from its edges, but for those that are the picture's."""
    first = 2 * start + (MARGIN_PX if start > 0 else 0)
    return slice(first, 2 * (start + PATCH_PX) - (MARGIN_PX if start < last else 0))


def own_blocks(weights: bytes) -> dict[str, F32]:
    """The first blocks of the head as the network itself has them."""
    model = read(pose_mask.build(weights))
    graph = model.subgraphs[0]
    found: dict[str, F32] = {}
    x = graph.outputs[1]  # the features
    for number in range(pose_mask.OWN_BLOCKS):
        deep, total = (op for op in graph.operators if x in op.inputs)
        (flat,) = (op for op in graph.operators if deep.outputs[0] in op.inputs)
        for name, op in ((f"deep{number}", deep), (f"flat{number}", flat)):
            found[name], found[f"{name}_bias"] = (
                np.asarray(constant(model, place), np.float32) for place in op.inputs[1:3]
            )
        x = total.outputs[0]
    return found


def learn(lessons: Lessons, recipe: HeadRecipe, begin: pose_mask.Head) -> Head:
    """A head that draws what the network drew, and is unsure where that was: it learns shares, not decisions."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    head = Head().to(memory_format=torch.channels_last)
    head.begin_as(begin)
    own = list(head.blocks[: pose_mask.OWN_BLOCKS].parameters())
    new = [*head.blocks[pose_mask.OWN_BLOCKS :].parameters(), *head.draw.parameters()]
    optimiser = torch.optim.AdamW([{"params": own}, {"params": new}], weight_decay=1e-4)
    rates = [OWN_RATE * recipe.rate, recipe.rate]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=recipe.steps + 1, pct_start=0.05)
    for step in range(recipe.steps):
        chosen = rng.integers(0, len(lessons.features), recipe.batch)
        seen = torch.from_numpy(lessons.features[chosen].astype(np.float32)).permute(0, 3, 1, 2)
        wanted = torch.from_numpy(lessons.logits[chosen].astype(np.float32)).sigmoid()[:, None]
        around = functional.avg_pool2d(wanted, NEAR_PX, 1, NEAR_PX // 2)
        weight = 1 + NEAR_WEIGHT * ((around > 0.01) & (around < 0.99)).float()
        weight = weight * torch.from_numpy(lessons.weights[chosen].astype(np.float32))[:, None]
        drawn = head(seen)
        loss = (functional.binary_cross_entropy_with_logits(drawn, wanted, reduction="none") * weight).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    return head.to(memory_format=torch.contiguous_format).eval()


@torch.inference_mode()
def make_as_sure(head: Head, lessons: Lessons) -> float:
    """Scale a head's logits, so that it is unsure of as much of a patch as the network was; masks stay. By how much.

    Having fewer weights it is less sure, and a mask that is unsure of much is not used.
    """
    scales = []
    for number in range(0, len(lessons.features), max(len(lessons.features) // COUNTED, 1)):
        inner, wanted = lessons.weights[number] > 0, lessons.logits[number]
        features = torch.from_numpy(lessons.features[number].astype(np.float32)).permute(2, 0, 1)
        drawn = head(features[None])[0, 0].abs().numpy()[inner]
        unsure = float((np.abs(wanted[inner]) < UNSURE_LOGIT).mean())
        if (wanted[inner] > 0).any() and 0 < unsure < 1:
            scales.append(UNSURE_LOGIT / float(np.quantile(drawn, unsure)))
    scale = float(np.median(scales))
    head.draw.weight *= scale
    head.draw.bias *= scale
    return scale
