"""The network that undoes masks learns what there is to learn, and nothing from masks that show nothing."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from anonymizer.attack.people import Face
from anonymizer.types import F32, U8
from scripts.train.cli import main
from scripts.train.restore import commands
from scripts.train.restore.network import SIZE, Recipe, learn, small

pytestmark = pytest.mark.usefixtures("one_thread")


def track(person: int, number: int, *, hidden: bool = False) -> U8:
    """Two masked frames (2, 40, 40, 3) of somebody: coarse cells of their own, or nothing at all."""
    rng = np.random.default_rng([person, number])
    cells = np.random.default_rng(person).integers(40, 216, (3, 3, 3)) + rng.integers(-9, 10, (2, 3, 3, 3))
    if hidden:
        cells = np.full((2, 3, 3, 3), 128)
    return np.stack([cv2.resize(each.astype(np.uint8), (40, 40), interpolation=cv2.INTER_NEAREST) for each in cells])


def embedding(person: int) -> F32:
    values = np.random.default_rng(person).normal(0, 1, SIZE).astype(np.float32)
    return values / np.linalg.norm(values)


def test_it_learns_what_was_behind_a_mask_and_twice_the_same() -> None:
    frames = np.stack([track(person, number) for person in range(4) for number in range(4)])
    wanted = np.repeat(np.stack([embedding(person) for person in range(4)]), 8, axis=0)
    recipe = Recipe(epochs=12, rate=2e-3, batch=16)
    new = np.stack([track(person, 9) for person in range(4)])
    guessed, again = (learn(small(frames), wanted, recipe).guess(new) for _ in range(2))
    assert (guessed == again).all()
    apart = np.linalg.norm(guessed[:, None] - np.stack([embedding(person) for person in range(4)]), axis=2)
    assert apart.argmin(axis=1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("hidden", [False, True])
def test_the_attack_names_people_behind_cells_and_nobody_behind_nothing(
    monkeypatch: pytest.MonkeyPatch, *, hidden: bool
) -> None:
    monkeypatch.setattr(commands, "ON_STRANGERS", Recipe(epochs=2, rate=2e-3))
    monkeypatch.setattr(commands, "ON_OWN", Recipe(epochs=5, rate=2e-3, batch=32))
    window, box = np.zeros((2, 2, 3), np.uint8), (0.0, 0.0, 1.0, 1.0)
    known = [Face(f"person {person}", "", window, box) for person in range(4) for _ in range(5)]
    clear = np.stack([embedding(person) for person in range(4) for _ in range(5)])
    frames = np.stack([track(person, number, hidden=hidden) for person in range(4) for number in range(5)])
    others = np.stack([track(person, 0, hidden=hidden) for person in range(10, 22)])
    found = commands.attacks(known, clear, frames, np.stack([embedding(person) for person in range(10, 22)]), others)
    named = {way: (places == 0).mean() for way, places in found.items()}
    assert len(named) == 4
    if hidden:
        assert max(named.values()) <= 0.3
    else:
        assert named["network that knows strangers and the people"] >= 0.9
        assert named["mean of that and ridge regression"] >= 0.9


def test_the_command_prints_each_attack_and_refuses_unknown_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "ON_STRANGERS", Recipe(epochs=1, rate=1e-3))
    monkeypatch.setattr(commands, "ON_OWN", Recipe(epochs=1, rate=1e-3))
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    box = (50.0, 50.0, 150.0, 150.0)
    known = tuple(Face(f"person {person}", "", picture, box) for person in range(2) for _ in range(2))
    monkeypatch.setattr(commands, "read_known", lambda folder: known)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    labels = tmp_path / "labels.csv"
    labels.write_text("a.png,50,50,150,150,face\n")
    common = ["restore", "people", "--strangers", str(labels), "--height", "40"]
    assert main([*common, "--look", "fill"]) == 0
    out = capsys.readouterr().out
    assert "4 faces of 2 people, 1 strangers to learn from" in out
    assert "whoever guesses has 50.0" in out
    assert out.count("\nfill, ") == 4
    assert main([*common, "--look", "wool"]) == 1
    assert "no look is called wool; there are: nothing, blur" in capsys.readouterr().err
