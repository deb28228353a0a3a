"""A tiny network that has learned shapes, for the tests that begin where training ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.train.canvas import CanvasMaker
from scripts.train.datasets.forms import read_sets
from scripts.train.recipe import Recipe
from tests.train import shapes


@dataclass(frozen=True)
class Trained:
    """A run, and the files of labels that it learned from and was measured by."""

    run: Path
    data: Path
    held_back: Path


def fit(data: Path, folder: Path, *more: str) -> list[str]:
    """Arguments that train the tiny network."""
    common = ["fit", str(data), "--run", str(folder), "--network", "tiny", "--canvas-px", "128", "--batch", "4"]
    return [*common, *more]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """In some ten seconds."""
    pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")
    from scripts.train.cli import main

    folder = tmp_path_factory.mktemp("trained")
    data, held_back = shapes.write(folder / "set", 80, seed=1), shapes.write(folder / "held", 30, seed=2)
    more = ("--batch", "8", "--steps", "240", "--rate", "5e-3", "--validate-every", "120", "--validation-px", "160")
    assert main(fit(data, folder / "run", *more, "--validation", str(held_back))) == 0
    return Trained(folder / "run", data, held_back)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch computes on one thread: more are slower for nets as small as these."""
    torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def slim_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of twelve pictures."""
    return shapes.write(tmp_path_factory.mktemp("slim") / "set", 12, seed=1)


@pytest.fixture
def canvases(slim_set: Path) -> CanvasMaker:
    """Canvases of 64 px of them."""
    pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")
    from scripts.train.fit import make_canvases

    return make_canvases(read_sets([slim_set]), Recipe(canvas_px=64))
