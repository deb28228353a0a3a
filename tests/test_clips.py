"""Rules of the clips that scripts/clips makes: exact truth, the same for the same seed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymizer.evaluate.video.truth import open_clip
from anonymizer.types import U8, Size, Target
from scripts.clips.flight import GLIDE_S, PAN_LIMIT, fly
from scripts.clips.pan import Film, Still, make_clip, read_stills

BOX = np.array([[300, 200, 360, 280], [100, 60, 112, 74], [500, 300, 540, 350]], np.float32)
FILM = Film(Size(192, 108), fps=10, seconds=1.0)


def still() -> Still:
    """A grey wall with a white, a small and an unjudged 'face'."""
    picture = np.full((450, 800, 3), 90, np.uint8)
    for x1, y1, x2, y2 in BOX.astype(int).tolist():
        picture[y1:y2, x1:x2] = 250
    return Still(picture, BOX, np.array([True, True, False]))


def made(folder: Path, seed: int = 1) -> Path:
    make_clip(still(), FILM, folder, np.random.default_rng(seed))
    return folder


def pictures(clip: Path) -> list[U8]:
    reader, shown = cv2.VideoCapture(str(clip)), []
    while (answer := reader.read())[0]:
        shown.append(np.asarray(answer[1], np.uint8))
    return shown


def test_the_same_seed_makes_the_same_clip(tmp_path: Path) -> None:
    one, again, other = made(tmp_path / "a"), made(tmp_path / "b"), made(tmp_path / "c", seed=2)
    assert (one / "clip.mp4").read_bytes() == (again / "clip.mp4").read_bytes()
    assert (one / "gt.txt").read_text() == (again / "gt.txt").read_text() != (other / "gt.txt").read_text()


def test_boxes_lie_where_the_faces_are_shown(tmp_path: Path) -> None:
    folder = made(tmp_path)
    truth, shown = open_clip(folder, None, None), pictures(folder / "clip.mp4")
    assert truth.target is Target.FACE
    assert len(shown) == FILM.frames
    judged = 0
    for number, picture in enumerate(shown, 1):
        faces = truth.at(number, FILM.size)
        for (x1, y1, x2, y2), counts in zip(faces.boxes.tolist(), faces.judged.tolist(), strict=True):
            judged += counts
            middle = picture[int((y1 + y2) / 2), int((x1 + x2) / 2)].mean()
            assert middle > 150 or y2 - y1 < 10
    assert judged


def test_faces_keep_their_names_and_unjudged_ones_stay_so(tmp_path: Path) -> None:
    rows = list(csv.reader((made(tmp_path) / "gt.txt").read_text().splitlines()))
    assert {row[1] for row in rows} <= {"1", "2", "3"}
    assert {row[6] for row in rows if row[1] == "3"} <= {"0"}
    assert all(row[7] == "14" for row in rows)


@pytest.mark.parametrize("seed", range(5))
def test_the_window_never_leaves_the_still_and_never_races(seed: int) -> None:
    flight = fly(Size(800, 450), BOX, Size(192, 108), 100, 25, np.random.default_rng(seed))
    half = np.stack([flight.widths, flight.widths * 108 / 192], axis=1) / 2
    assert (flight.centres >= half - 1e-6).all()
    assert (flight.centres <= np.array([800, 450]) - half + 1e-6).all()
    mean_speed = np.linalg.norm(np.diff(flight.centres, axis=0), axis=1).mean() * 25 / flight.widths.min()
    assert mean_speed < PAN_LIMIT * GLIDE_S


def test_only_pictures_with_a_face_worth_looking_at_are_read(tmp_path: Path) -> None:
    def entry(name: str, height: float, *, ignore: bool) -> dict[str, object]:
        return {"file": name, "boxes": [{"xywh": [1, 2, 10, height], "ignore": ignore}]}

    labels = [entry("a.jpg", 20, ignore=False), entry("b.jpg", 8, ignore=False), entry("c.jpg", 20, ignore=True)]
    (tmp_path / "faces.json").write_text(json.dumps(labels))
    ((path, boxes, judged),) = read_stills(tmp_path / "faces.json")
    assert path == tmp_path / "images/a.jpg"
    assert boxes.tolist() == [[1, 2, 11, 22]]
    assert judged.tolist() == [True]
