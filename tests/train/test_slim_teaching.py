"""What a narrowed detector is taught with: its teacher's closer look, canvases damaged further, an earlier run."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from torch import Tensor, nn

from anonymizer.errors import DatasetError
from scripts.train.canvas import CanvasMaker
from scripts.train.cli import main
from scripts.train.slim.closer import MOST_PX, look_closer
from scripts.train.slim.fit import load_slim, run
from scripts.train.slim.pictures import Pictures
from scripts.train.slim.reading import open_network
from scripts.train.slim.recipe import SlimRecipe
from scripts.train.slim.surgery import merge
from tests.train.slim_rig import joined, small_run, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

LOW = -6.0  # a logit that says nobody


class Eyes(nn.Module):
    """A teacher that finds one face of given height and middle, in pixels of whatever it is shown enlarged."""

    def __init__(self, *, middle: tuple[float, float], side_px: float, logit: float) -> None:
        super().__init__()
        self.plan = open_network(tiny()).plan
        self._face = middle, side_px, logit

    def forward(self, pictures: Tensor) -> dict[int, Tensor]:
        (y, x), side_px, logit = self._face
        _, _, height, width = pictures.shape
        heat = torch.full((1, 1, height // 4, width // 4), LOW)
        scale, offset = torch.zeros(1, 2, *heat.shape[2:]), torch.zeros(1, 2, *heat.shape[2:])
        row, column = int(y // 4), int(x // 4)
        heat[0, 0, row, column] = logit
        scale[0, :, row, column] = math.log(side_px / 4)
        offset[0, :, row, column] = torch.tensor([y / 4 - row - 0.5, x / 4 - column - 0.5])
        outputs = self.plan.outputs
        return {outputs["heat"]: heat, outputs["scale"]: scale, outputs["offset"]: offset}


def nobody(logit: float = LOW) -> dict[str, Tensor]:
    return {
        "heat": torch.full((1, 1, 16, 16), logit),
        "scale": torch.zeros(1, 2, 16, 16),
        "offset": torch.zeros(1, 2, 16, 16),
    }


def taught(eyes: Eyes, own: dict[str, Tensor]) -> dict[str, Tensor]:
    outputs = eyes.plan.outputs
    expected = {outputs[name]: value for name, value in own.items()}
    found = look_closer(eyes, torch.zeros(1, 3, 64, 64), expected)
    return {name: found[outputs[name]] for name in own}


@pytest.mark.parametrize("middle", [(42.0, 70.0), (47.9, 65.1), (40.1, 71.0)])
def test_a_small_face_of_the_enlarged_picture_is_taught_where_and_as_large_as_it_is(
    middle: tuple[float, float],
) -> None:
    found = taught(Eyes(middle=middle, side_px=20.0, logit=2.0), nobody())
    row, column = int(middle[0] // 8), int(middle[1] // 8)
    assert found["heat"][0, 0, row, column] == 2.0
    assert int((found["heat"] > LOW).sum()) == 1
    sides = 4 * found["scale"][0, :, row, column].exp()
    centre = 4 * (found["offset"][0, :, row, column] + torch.tensor([row, column]) + 0.5)
    assert sides.tolist() == pytest.approx([10.0, 10.0], abs=1e-3)
    assert centre.tolist() == pytest.approx([middle[0] / 2, middle[1] / 2], abs=1e-3)


def test_what_is_seen_more_surely_in_the_picture_itself_stands() -> None:
    own = nobody(logit=3.0)
    found = taught(Eyes(middle=(42.0, 70.0), side_px=20.0, logit=2.0), own)
    assert all(torch.equal(found[name], value) for name, value in own.items())


def test_large_faces_are_not_taken_from_the_enlarged_picture() -> None:
    for side_px, is_taken in ((2 * MOST_PX - 1.0, True), (2 * MOST_PX + 1.0, False)):
        found = taught(Eyes(middle=(42.0, 70.0), side_px=side_px, logit=2.0), nobody())
        assert bool((found["heat"] > LOW).any()) is is_taken


def test_only_outputs_whose_meaning_is_known_can_be_looked_at_closer(
    tmp_path: Path, slim_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(joined())
    assert main(["slim", "fit", str(path), str(slim_set), "--run", str(tmp_path / "run"), "--closer"]) == 1
    assert "--closer knows the outputs of CenterFace" in capsys.readouterr().err


def test_the_share_asked_for_is_damaged_further_and_the_teacher_sees_it_as_it_was(canvases: CanvasMaker) -> None:
    plain, some = (Pictures(canvases, SlimRecipe("", batch=24, blurred=share)) for share in (0.0, 0.5))
    clear, shown = some.batch(7)
    assert torch.equal(clear, plain.clear(7))
    differs = [not torch.equal(a, b) for a, b in zip(clear, shown, strict=True)]
    assert 6 <= sum(differs) <= 18
    again = some.batch(7)[1]
    assert torch.equal(shown, again)
    clear, shown = plain.batch(7)
    assert torch.equal(clear, shown)


@pytest.mark.parametrize("changes", [{"closer": True}, {"blurred": 1.0}], ids=["closer", "blurred"])
def test_a_run_with_a_better_teacher_goes_on_as_an_undisturbed_one(
    changes: dict[str, Any], tmp_path: Path, canvases: CanvasMaker
) -> None:
    run(small_run(tmp_path / "whole", canvases, **changes), save_every=100, say=lambda _: None)
    broken = small_run(tmp_path / "broken", canvases, **changes)
    broken.learn()
    broken.save()
    run(small_run(tmp_path / "broken", canvases, **changes), save_every=1, say=lambda _: None)
    run(small_run(tmp_path / "other", canvases), save_every=100, say=lambda _: None)
    whole, again, other = (list(load_slim(tmp_path / each)[0].parameters()) for each in ("whole", "broken", "other"))
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(whole, other, strict=True))


def test_all_of_a_file_can_be_kept_and_taught(tmp_path: Path, canvases: CanvasMaker) -> None:
    run(small_run(tmp_path, canvases, keep=1.0), save_every=100, say=lambda _: None)
    after, _ = load_slim(tmp_path)
    before = open_network(tiny())
    merge(before)
    assert {name: value.shape for name, value in after.weights.items()} == {
        name: value.shape for name, value in before.weights.items()
    }
    assert not all(torch.equal(value, before.weights[name]) for name, value in after.weights.items())


def test_a_narrower_run_can_be_narrowed_further(tmp_path: Path, canvases: CanvasMaker) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run(small_run(first, canvases, keep=0.8), save_every=100, say=lambda _: None)
    begin = first / "checkpoint.pt"
    run(small_run(second, canvases, begin=begin, keep=0.8, begun="first"), save_every=100, say=lambda _: None)
    sizes = [sum(each.numel() for each in load_slim(folder)[0].parameters()) for folder in (first, second)]
    assert sizes[1] < sizes[0]
    run(
        small_run(second, canvases, begin=begin, keep=0.8, begun="first", steps=6),
        save_every=1,
        say=lambda _: None,
    )


def test_a_run_on_another_file_is_not_begun_from(tmp_path: Path, canvases: CanvasMaker, slim_set: Path) -> None:
    run(small_run(tmp_path / "first", canvases, keep=0.8, steps=1), save_every=1, say=lambda _: None)
    with pytest.raises(DatasetError, match="no checkpoint of `slim fit` on this file"):
        small_run(tmp_path / "second", canvases, file=joined(), begin=tmp_path / "first" / "checkpoint.pt")


def test_what_a_run_begins_from_is_part_of_its_recipe(
    tmp_path: Path, slim_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny())
    small = ["--batch", "2", "--canvas-px", "64", "--steps", "1"]
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    fit = ["slim", "fit", str(path), str(slim_set), *small]
    assert main([*fit, "--run", first, "--keep", "0.9"]) == 0
    assert main([*fit, "--run", second, "--keep", "0.8", "--begin", first]) == 0
    assert main([*fit, "--run", second, "--keep", "0.8", "--begin", first]) == 0  # nothing left to do
    assert main([*fit, "--run", second, "--keep", "0.8"]) == 1
    assert "holds a run with begun" in capsys.readouterr().err
    assert main([*fit, "--run", second, "--begin", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err
