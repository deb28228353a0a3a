"""How near strangers come to an enrolled person: the distance up to which a given share of them is taken for that one.

    nice .venv/bin/python -m scripts.bench.false_accepts FACES.json [--least-px 60]

Each clear face that is seen from the front is enrolled as `anonymizer enroll` does from a single photo; every other one
is a stranger to it, unless it is in the same picture. Prints, for each rate, the distance that this share of strangers
lies within: the table of `anonymizer.identify.calibration`. Some pairs may well be one person in two pictures, which
makes the distances smaller, that is, more careful.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymizer.detect.engine import Engine
from anonymizer.identify.calibration import MODEL, OTHER_DISTANCE, RATES
from anonymizer.identify.embedder import ASYMMETRY, FaceEmbedder, distances
from anonymizer.identify.portrait import Portrait, look_of, templates_of
from anonymizer.types import F32
from anonymizer.zoo import Zoo

FLAWS = ("ignore", "blur", "occlusion", "pose")  # of WIDER FACE; 0: none


@dataclass(frozen=True, slots=True)
class Labelled:
    """A clear face."""

    picture: Path
    box: tuple[float, float, float, float]


def clear_faces(labels: Path, least_px: float) -> list[Labelled]:
    """The faces of that height or more without any flaw of a JSON list of pictures, which are in images/ beside it."""
    faces = []
    for entry in json.loads(labels.read_bytes()):
        for box in entry["boxes"]:
            x, y, width, height = box["xywh"]
            if height >= least_px and not any(box[flaw] for flaw in FLAWS):
                faces.append(Labelled(labels.parent / "images" / entry["file"], (x, y, x + width, y + height)))
    return faces


def read(face: Labelled) -> Portrait:
    """The face in its picture."""
    picture = cv2.imread(str(face.picture), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise SystemExit(f"{face.picture} is missing or is no picture")
    return Portrait(np.asarray(picture, np.uint8), face.box)


def strangers(faces: list[Labelled], embedder: FaceEmbedder) -> tuple[int, F32]:
    """How many faces are seen from the front, and the distances from each of them to the others as people, sorted."""
    looks = [look_of(read(face), embedder) for face in faces]
    chosen = [at for at, look in enumerate(looks) if look.asymmetry <= ASYMMETRY]
    embeddings = np.stack([looks[at].embedding for at in chosen])
    pictures = np.array([str(faces[at].picture) for at in chosen])
    found = []
    for at in chosen:
        templates = templates_of(read(faces[at]), embedder)
        others = embeddings[pictures != str(faces[at].picture)]
        found.append(np.stack([distances(template, others) for template in templates]).min(axis=0))
    return len(chosen), np.sort(np.concatenate(found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--least-px", type=float, default=60.0, help="height of the smallest face that counts")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    spec = Zoo().embedders.verify(MODEL)
    faces = clear_faces(options.labels, options.least_px)
    with FaceEmbedder(Engine(spec.path, threads=1, mean=spec.input.mean, scale=spec.input.scale)) as embedder:
        people, found = strangers(faces, embedder)
    print(f"{len(faces)} clear faces, {people} of them from the front, {len(found)} pairs of strangers")
    for rate in RATES:
        print(f"{rate:g}: {found[int(rate * len(found))]:.3f}")
    print(f"strangers at {OTHER_DISTANCE:g} and more: {(found >= OTHER_DISTANCE).mean():.3f}")


if __name__ == "__main__":
    main()
