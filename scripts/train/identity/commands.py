"""The command `identity`: people's photos and strangers in; a table, a CSV and a chart of heads out."""

from __future__ import annotations

import argparse
from pathlib import Path

from anonymizer import __version__
from anonymizer.attack.people import Face, read_people
from anonymizer.cli import SURE_FACE
from anonymizer.clock import SystemClock
from anonymizer.detectors import make_detector
from anonymizer.errors import DatasetError
from anonymizer.identify.calibration import MODEL
from anonymizer.models import make_embedder
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.zoo import Zoo
from scripts.train.arguments import count
from scripts.train.datasets.forms import read_sets
from scripts.train.identity.views import embedded, strangers

CAMERAS = 3  # changed views of each face to be judged on


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `identity`; it sets `run`, which raises an AnonymizerError."""
    parser = subparsers.add_parser("identity", help="a head on the face embedder: this person or not, and its worth")
    parser.set_defaults(run=_identity)
    parser.add_argument("people", type=Path, help="a folder for each person, at any depth, with pictures of the face")
    parser.add_argument("--strangers", type=Path, nargs="+", required=True, help="labelled pictures of other faces")
    parser.add_argument("--limit", type=count, default=200, help="strangers, evenly spread over the pictures (200)")
    parser.add_argument("--photos", type=count, default=4, help="of a person to learn from, one in four kept aside (4)")
    parser.add_argument(
        "--margin", type=float, nargs="+", default=[0.0, 0.15, 0.3], help="around the box, in its sides"
    )
    parser.add_argument("--expansion", type=count, nargs="+", default=[1, 2, 4, 8], help="versions of each photo")
    parser.add_argument("--seeds", type=count, default=5, help="splits and first weights, each tried in turn (5)")
    parser.add_argument("--out", type=Path, required=True, help="folder for identity.md, identity.csv, identity.png")


def _identity(arguments: argparse.Namespace) -> int:
    import torch

    from scripts.train.identity.head import Recipe
    from scripts.train.identity.report import draw, table, write_csv
    from scripts.train.identity.study import Trial, candidates, trials

    torch.set_num_threads(1)
    known = read_known(arguments.people)
    persons = candidates([face.person for face in known], arguments.photos)
    if not persons:
        raise DatasetError(f"{arguments.people}: nobody has {2 * arguments.photos} clear faces; try fewer --photos")
    faces = [*known, *strangers(read_sets(arguments.strangers), arguments.limit)]
    print(f"{len(persons)} people to know among {len(faces)} faces", flush=True)
    found: list[Trial] = []
    with make_embedder(Zoo().embedders.verify(MODEL)) as embedder:
        for margin in sorted(set(arguments.margin)):
            copies = max(arguments.expansion) - 1
            gallery = embedded(faces, margin, embedder.embed_chip, copies=copies, cameras=CAMERAS)
            found += trials(
                gallery,
                margin,
                sorted(set(arguments.expansion)),
                photos=arguments.photos,
                seeds=range(arguments.seeds),
                recipe=Recipe(),
            )
            print(f"margin {margin:g}: {len(found)} trials", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_csv(found, arguments.out / "identity.csv")
    draw(found, arguments.out / "identity.png")
    (arguments.out / "identity.md").write_text(table(found) + "\n\n![accuracy and strangers accepted](identity.png)\n")
    print(table(found))
    return 0


def read_known(folder: Path) -> tuple[Face, ...]:
    """As the attack on masks reads them: the largest face of each picture."""
    detect = Settings().detect.model_copy(update={"face_threshold": SURE_FACE})
    clock, meter = SystemClock(), PrometheusMeter(version=__version__, runtime="")
    with make_detector(detect, frozenset({TargetName.FACE}), is_flat=True, clock=clock, meter=meter) as detector:
        return read_people(folder, detector.detect)
