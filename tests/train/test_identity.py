"""The head tells people apart whom distances confuse, stops in time, and nobody it is judged on was met before."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from anonymizer.attack.people import Face
from anonymizer.errors import DatasetError
from anonymizer.identify.chip import cut_chip
from anonymizer.types import F32, U8
from scripts.train.cli import main
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.identity import commands
from scripts.train.identity.head import Labelled, Recipe, fit
from scripts.train.identity.report import spread, table
from scripts.train.identity.study import HEAD, NEAREST, Trial, candidates, split, trials
from scripts.train.identity.views import Gallery, changed, chip, embedded, strangers
from scripts.train.picture import Sample

QUICK = Recipe(epochs=60, patience=10)
PERSONS = ("ann",) * 8 + ("bob",) * 8 + tuple(f"stranger {number}" for number in range(40))

pytestmark = pytest.mark.usefixtures("one_thread")


def face(person: int, *, side: int = 200) -> Face:
    """A pattern of its person in the middle of grey, half as high as the window."""
    pattern = np.random.default_rng(person).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    window = np.full((side, side, 3), 128, np.uint8)
    quarter = side // 4
    window[quarter : 3 * quarter, quarter : 3 * quarter] = cv2.resize(pattern, (2 * quarter, 2 * quarter))
    return Face(f"person {person}", "", window, (quarter, quarter, 3 * quarter, 3 * quarter))


def embed(picture: U8) -> F32:
    """An embedder that sees coarse colours and nothing else."""
    return cv2.resize(picture, (6, 6), interpolation=cv2.INTER_AREA).astype(np.float32).reshape(-1) / np.float32(255)


def gallery(*, noise: float = 0.1, apart: float = 1.0) -> Gallery:
    """Embeddings around a middle for each person; what tells people apart is a tenth of the numbers."""
    rng = np.random.default_rng(5)
    middles = {name: np.r_[apart * rng.normal(0, 1, 4), np.zeros(36)] for name in sorted(set(PERSONS))}
    centre = np.array([middles[name] for name in PERSONS])

    def around(count: int) -> F32:
        return (centre[:, None] + noise * rng.normal(0, 1, (len(centre), count, 40))).astype(np.float32)

    return Gallery(PERSONS, around(1)[:, 0], around(3), around(2))


# --- views ---------------------------------------------------------------------------------------------------------


def test_without_a_margin_the_chip_is_the_daemons_and_with_one_it_shows_more() -> None:
    from anonymizer.stills import BT601, planes_of

    one = face(1)
    assert (chip(one, 0.0) == cut_chip(planes_of(one.window), BT601, one.box, 150)).all()
    grey = [(np.abs(chip(one, margin).astype(int) - 128).max(axis=2) < 8).mean() for margin in (0.0, 0.3)]
    assert grey[1] > grey[0] + 0.3


def test_changed_faces_are_the_same_for_a_seed_differ_between_seeds_and_keep_their_box_on_the_face() -> None:
    one = face(2)
    first, again, other = (changed(one, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.window == again.window).all()
    assert first.box == again.box
    assert first.window.shape != other.window.shape
    for seed in range(20):
        made = changed(one, np.random.default_rng(seed))
        x1, y1, x2, y2 = made.box
        rows, columns = made.window.shape[:2]
        assert abs((x1 + x2) / 2 / columns - 0.5) < 0.1
        assert abs((y2 - y1) / rows - 0.5) < 0.2


def test_copies_to_learn_from_and_views_to_be_judged_on_differ() -> None:
    seen = embedded([face(1), face(2)], 0.15, embed, copies=2, cameras=2)
    assert seen.persons == ("person 1", "person 2")
    assert seen.plain.shape == (2, 108)
    assert seen.copies.shape == seen.cameras.shape == (2, 2, 108)
    everything = np.concatenate([seen.plain[:, None], seen.copies, seen.cameras], axis=1)
    assert len(np.unique(everything.reshape(-1, 108), axis=0)) == 10
    assert embedded([face(1)], 0.0, embed, copies=0, cameras=1).copies.size == 0


def test_strangers_are_the_largest_clear_face_of_evenly_spread_pictures(tmp_path: Path) -> None:
    samples = []
    for number, height in enumerate((30, 70, 80, 90, 100)):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((200, 240, 3), 40 * number, np.uint8))
        boxes = np.array([[10, 10, 40, 40], [100, 50, 160, 50 + height], [0, 0, 200, 190]], np.float32)
        samples.append(Sample(path, boxes, np.zeros(3, np.int32), np.array([False, False, True])))
    found = list(strangers(TrainingSet(("face",), tuple(samples)), 2))
    assert [each.person for each in found] == ["stranger 1", "stranger 4"]
    assert found[1].box[3] - found[1].box[1] == 100
    assert list(strangers(TrainingSet(("face",), ()), 2)) == []


# --- head ----------------------------------------------------------------------------------------------------------


def labelled(seed: int, count: int = 60) -> Labelled:
    """Told apart by the sign of a product: nothing that one distance can see."""
    values = np.random.default_rng(seed).normal(0, 1, (count, 4)).astype(np.float32)
    return Labelled(values, values[:, 0] * values[:, 1] > 0)


def test_the_head_learns_and_the_same_seed_gives_the_same_one() -> None:
    fitted, again = (fit(labelled(1, 400), labelled(2), Recipe(), seed=3) for _ in range(2))
    judged = labelled(3)
    assert (fitted.accepts(judged.embeddings) == judged.is_me).mean() > 0.85
    assert (fitted.epochs, fitted.loss) == (again.epochs, again.loss)


def test_it_stops_when_what_was_kept_aside_gets_no_better_and_keeps_the_best_weights() -> None:
    learn, unlike = labelled(1), labelled(2)
    unlike = Labelled(unlike.embeddings, ~unlike.is_me)  # the better it learns, the worse it is there
    fitted = fit(learn, unlike, Recipe(patience=5), seed=0)
    assert fitted.epochs < 20
    assert fitted.loss == fit(learn, unlike, Recipe(patience=100), seed=0).loss


# --- study ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_nobody_that_the_head_is_judged_on_was_learned_from(seed: int) -> None:
    parts = split(PERSONS, "ann", 4, np.random.default_rng(seed))
    names = np.array(PERSONS)
    assert len(parts.mine) == 3
    assert len(parts.mine_aside) == 1
    assert len(parts.mine_judged) == 4
    whole = np.concatenate([parts.mine, parts.mine_aside, parts.mine_judged])
    assert sorted(whole) == list(range(8))
    groups = [set(names[each]) for each in (parts.others, parts.others_aside, parts.strangers)]
    assert set.union(*groups) == set(names) - {"ann"}
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_only_people_with_faces_enough_are_tried() -> None:
    assert candidates(PERSONS, 4) == ("ann", "bob")
    assert candidates(PERSONS, 5) == ()


def test_trials_judge_head_and_distance_on_photos_and_on_camera_views() -> None:
    found = list(trials(gallery(), 0.0, (1, 4), photos=4, seeds=(0, 1), recipe=QUICK))
    assert len(found) == 2 * 2 * 2 * 2 * 2  # people, seeds, expansions, ways, kinds of faces
    assert {(each.way, each.cameras) for each in found} == {(w, c) for w in (HEAD, NEAREST) for c in (False, True)}
    heads = [each.accuracy for each in found if each.way == HEAD and each.expansion == 4]
    assert np.mean(heads) > 0.8
    # noise in 40 numbers, each 0.1, sets two pictures of one person 0.9 apart: the distance refuses all
    assert all(each.accuracy == 0.5 for each in found if each.way == NEAREST)


def trial(seed: int, rejects: float, accepts: float) -> Trial:
    return Trial("ann", seed, 0.0, 1, HEAD, cameras=False, false_rejects=rejects, false_accepts=accepts, epochs=1)


def test_the_spread_is_that_between_seeds() -> None:
    found = [trial(0, 0.0, 0.2), trial(0, 0.2, 0.0), trial(1, 0.0, 0.0), trial(1, 0.0, 0.0)]
    assert str(spread(found, lambda each: each.accuracy)) == "95.0 ± 5.0"
    assert "| head | photos | 0 | 1 | 95.0 ± 5.0 | 5.0 ± 5.0 | 5.0 ± 5.0 |" in table(found)


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command_writes_table_rows_and_chart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tuple(
        Face(f"person {person}", "", face(person).window, face(person).box) for person in (1, 2) for _ in "1234"
    )
    monkeypatch.setattr(commands, "read_known", lambda folder: known)
    labels = tmp_path / "labels.csv"
    rows = []
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), face(10 + number).window)
        rows.append(f"{number}.png,50,50,150,150,face")
    labels.write_text("\n".join(rows) + "\n")
    common = ["identity", "people", "--strangers", str(labels), "--seeds", "2", "--out", str(tmp_path / "out")]
    assert main([*common, "--photos", "2", "--margin", "0", "0.3", "--expansion", "1", "2"]) == 0
    out = capsys.readouterr().out
    assert "2 people to know among 14 faces" in out
    written = (tmp_path / "out" / "identity.md").read_text()
    assert written.split("\n\n")[0] in out
    with (tmp_path / "out" / "identity.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 2 * 2 * 2 * 2
    assert cv2.imread(str(tmp_path / "out" / "identity.png")) is not None
    assert main([*common, "--photos", "9"]) == 1
    assert "nobody has 18 clear faces; try fewer --photos" in capsys.readouterr().err


def test_people_without_pictures_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no pictures"):
        commands.read_known(tmp_path)
