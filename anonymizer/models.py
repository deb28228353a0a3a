"""The logic of `anonymizer models`: list, verify, fetch, and add a file of the user's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from anonymizer import __version__
from anonymizer.detect.attention import Attention
from anonymizer.detect.delegates import Delegate
from anonymizer.detect.engine import Engine
from anonymizer.detect.recognise import Reading
from anonymizer.detect.self_test import SelfTest, read_picture
from anonymizer.detectors import attention_model, detector_model
from anonymizer.download import Download
from anonymizer.errors import ModelError
from anonymizer.identify.embedder import FaceEmbedder, distances
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.quarantine import Quarantine
from anonymizer.types import F32, Planes, Target
from anonymizer.zoo import OTHER, PICTURES, ChannelOrder, EmbedderSpec, FileSpec, Zoo, add_model, default_models_dir

SUGGESTED_THRESHOLD = 0.3
SAME = 0.6  # embeddings nearer to each other than this are of one person, by dlib's own figure
PORTRAITS = tuple(
    SelfTest(PICTURES / f"{name}.jpg", target, box, min_iou, min_score=0.3)
    for name, target, box, min_iou in (
        ("astronaut", Target.FACE, (0.36, 0.13, 0.525, 0.345), 0.4),  # chin to hair line, ear to ear
        ("grace_hopper", Target.FACE, (0.345, 0.20, 0.69, 0.565), 0.4),
        ("astronaut", Target.PERSON, (0.03, 0.03, 0.71, 0.995), 0.6),
        ("grace_hopper", Target.PERSON, (0.015, 0.045, 0.985, 0.99), 0.6),
    )
)


def table(zoo: Zoo) -> Iterator[str]:
    """A heading and one line for each model."""
    row = "{:28} {:8} {:10} {:8} {:>8}  {:12} {:16} {:>9}  {}".format
    yield row("model", "target", "input", "type", "size", "licence", "family", "threshold", "from").rstrip()
    for spec in map(zoo.detectors.spec, zoo.detectors.names()):
        yield row(*_columns(spec, spec.target.name.lower(), spec.family, str(spec.threshold)))
    for embedder in map(zoo.embedders.spec, zoo.embedders.names()):
        yield row(*_columns(embedder, "identity", "embedder", "-"))
    for attention in map(zoo.attentions.spec, zoo.attentions.names()):
        yield row(*_columns(attention, "attention", "attention", "-"))
    for silhouette in map(zoo.silhouettes.spec, zoo.silhouettes.names()):
        yield row(*_columns(silhouette, "silhouette", "silhouette", "-"))


def _columns(spec: FileSpec, target: str, family: str, threshold: str) -> tuple[str, ...]:
    size, megabytes = f"{spec.input.width}x{spec.input.height}", f"{spec.size_bytes / 1e6:.1f} MB"
    return spec.name, target, size, spec.input.dtype, megabytes, spec.licence, family, threshold, _origin(spec)


def verify(zoo: Zoo, name: str, quarantine: Quarantine) -> str:
    """Compare a model's file with the manifest, load it, and let it find what the manifest promises.

    Returns what was proven; raises ModelError.
    """
    spec = zoo.detectors.verify(name)
    quarantine.load(detector_model(spec), threads=1, delegate=Delegate())
    test = spec.self_test
    proof = "nothing promised to compare with" if test is None else f"finds the {test.target.name.lower()} it must"
    return f"{spec.size_bytes / 1e6:.1f} MB, {proof}, sha256 matches"


def verify_embedder(zoo: Zoo, name: str) -> str:
    """Compare an embedder's file with the manifest, load it, and let it tell the two portraits apart.

    Returns what was proven; raises ModelError.
    """
    spec = zoo.embedders.verify(name)
    with make_embedder(spec) as embedder:
        faces = [test for test in PORTRAITS if test.target is Target.FACE]
        here, there = (_embeddings(embedder, test) for test in faces)
    apart, together = float(distances(here[0], there).min()), float(distances(here[0], here[1:]).max())
    if together > SAME or apart < SAME:
        raise ModelError(
            f"model {name} takes one person for two or two for one ({together:.2f} and {apart:.2f}, limit {SAME}): "
            "this processor or runtime computes it wrongly; try another runtime"
        )
    return f"{spec.size_bytes / 1e6:.1f} MB, tells the portraits apart, sha256 matches"


def verify_attention(zoo: Zoo, name: str) -> str:
    """Compare an attention model's file with the manifest, load it, and let it find the person in a portrait.

    Returns what was proven; raises ModelError.
    """
    spec = zoo.attentions.verify(name)
    with Attention(attention_model(spec), threads=1, meter=PrometheusMeter(version=__version__, runtime="")):
        return f"{spec.size_bytes / 1e6:.1f} MB, points at the person it must, sha256 matches"


def _embeddings(embedder: FaceEmbedder, portrait: SelfTest) -> F32:
    """Embeddings (2, D) of the portrait's face and of its mirror image."""
    planes, colour = read_picture(portrait.picture)
    mirrored = Planes(planes.y[:, ::-1], planes.u[:, ::-1], planes.v[:, ::-1])
    x1, y1, x2, y2 = portrait.truth(planes.size)[0].tolist()
    width = planes.size.width
    faces = ((planes, (x1, y1, x2, y2)), (mirrored, (width - x2, y1, width - x1, y2)))
    return np.stack([embedder.embed(picture, colour, box) for picture, box in faces])


def make_embedder(spec: EmbedderSpec) -> FaceEmbedder:
    """An embedder on one thread."""
    return FaceEmbedder(Engine(spec.path, threads=1, mean=spec.input.mean, scale=spec.input.scale))


def fetch(zoo: Zoo, name: str) -> str:
    """Download the file of a model whose entry has a url, unless it is here already, and verify it.

    Raises ModelError.
    """
    spec = zoo.detectors.spec(name)
    if spec.url is None:
        raise ModelError(f"model {name} has no url in the manifest to be fetched from ({_origin(spec)})")
    try:
        zoo.detectors.verify(name)
        done = "already here"
    except ModelError:  # missing or altered
        Download(spec.url, spec.path, spec.sha256, spec.size_bytes).run()
        done = "fetched"
    with Quarantine() as quarantine:
        return f"{name}: {done}; {verify(zoo, name, quarantine)}"


def add(file: Path, models_dir: Path, name: str | None, target: Target | None, threshold: float | None) -> str:
    """Find out how to use a TFLite file, and add it to a folder of the user's; returns what was found.

    Raises ModelError if that cannot be found out, or the model misses the portraits at the threshold.
    """
    name = name or re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-") or "model"
    with Quarantine() as quarantine:
        reading = quarantine.recognise(file, PORTRAITS, target=target)
        least = threshold or SUGGESTED_THRESHOLD
        if least > reading.score:
            raise ModelError(
                f"{file} scores the {reading.target.name.lower()} in the test pictures {reading.score:.2f}, below the "
                f"threshold {least:g}: even clear ones would be missed; choose a lower --threshold"
            )
        entry = _entry(file, reading, name, least)
        add_model(models_dir, entry, file)
        verify(Zoo(models_dir), name, quarantine)
    found = reading.target.name.lower()
    order = ChannelOrder.BGR if reading.bgr else ChannelOrder.RGB
    return (
        f"{name}: family {reading.family}, finds {found}s (column {reading.column} of the score)\n"
        f"input: {reading.size} {order}, {reading.precision}, (pixel - {reading.mean:g}) * {reading.scale:.6g}, "
        f"{reading.fit}\n"
        f"score of the {found} in the test pictures: {reading.score:.2f} or more\n"
        f"copied to {models_dir}; use it with\n"
        f"detect:\n  models_dir: {models_dir}\n  {found}_model: {name}\n  {found}_threshold: {entry['threshold']:g}"
    )


def _entry(file: Path, reading: Reading, name: str, threshold: float) -> dict[str, object]:
    target = reading.target.name.lower()
    promise = next(test for test in PORTRAITS if test.target is reading.target)
    return {
        "name": name,
        "file": f"{name}.tflite",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
        "family": reading.family,
        "classes": [OTHER] * reading.column + [target],
        "input": {
            "width": reading.size.width,
            "height": reading.size.height,
            "dtype": reading.precision,
            "mean": reading.mean,
            "scale": reading.scale,
            "fit": str(reading.fit),
            "order": str(ChannelOrder.BGR if reading.bgr else ChannelOrder.RGB),
        },
        "threshold": threshold,
        "licence": "NOASSERTION",  # in SPDX: not stated
        "self_test": {
            "picture": promise.picture.stem,
            "target": target,
            "box": list(promise.box),
            "min_iou": promise.min_iou,
            "min_score": round(reading.score * 0.75, 2),
        },
    }


def _origin(spec: FileSpec) -> str:
    if spec.source is not None:
        return f"{spec.source.registry} {spec.source.package} {spec.source.version}"
    return spec.url or ("this project" if spec.path.parent == default_models_dir() else "your own file")
