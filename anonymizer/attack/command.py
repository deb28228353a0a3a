"""The command `anonymizer evaluate attack`: a folder of people in; table, JSON and page out."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from anonymizer.arguments import whole
from anonymizer.attack.page import page
from anonymizer.attack.people import Find, face_in, persons_of, read_people
from anonymizer.attack.picture import draw
from anonymizer.attack.report import Population, as_json, table
from anonymizer.attack.trial import Embed, attack, default_looks
from anonymizer.results import write_file

HEIGHTS_PX = (96, 48)
PICTURE_SUFFIX = ".jpg"  # of the picture beside the page


@dataclass(frozen=True, slots=True)
class Request:
    """Whose pictures to attack, and where to write the results."""

    folder: Path
    heights_px: tuple[int, ...]
    json: Path | None
    page: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `request_of` reads."""
    parser.add_argument("folder", type=Path, help="a folder for each person, at any depth, with two pictures or more")
    parser.add_argument(
        "--height",
        type=whole(16, 512),
        action="append",
        metavar="PX",
        help=f"height of the faces, repeat for several (default: {', '.join(map(str, HEIGHTS_PX))})",
    )
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--page", type=_page, help="write them as a page, with a JPEG of the same name beside it")


def request_of(arguments: argparse.Namespace) -> Request:
    """The request that the parsed arguments make."""
    heights = tuple(arguments.height or HEIGHTS_PX)
    return Request(arguments.folder, heights, arguments.json, arguments.page)


def evaluate_attack(request: Request, find: Find, embed: Embed, portraits: tuple[Path, ...]) -> str:
    """The table; writes the files asked for, the page with `portraits` as examples. Raises DatasetError, ModelError."""
    faces, looks = read_people(request.folder, find), default_looks()
    population = Population(len(persons_of(faces)), len(faces))
    outcomes = tuple(attack(faces, looks, request.heights_px, embed))
    if request.json is not None:
        write_file(request.json, as_json(outcomes, population).encode())
    if request.page is not None:
        beside = request.page.with_suffix(PICTURE_SUFFIX)
        examples = [face for path in portraits if (face := face_in(path, path.stem, find)) is not None]
        write_file(beside, draw(examples, looks, request.heights_px))
        write_file(request.page, page(outcomes, population, looks, request.heights_px, beside.name).encode())
    return table(outcomes, population)


def _page(text: str) -> Path:
    path = Path(text)
    if path == path.with_suffix(PICTURE_SUFFIX):
        better = path.with_suffix(".md")
        raise argparse.ArgumentTypeError(f"{path} is the name of the picture beside the page; write {better}")
    return path
