"""Fine-tuning for int8: the simulation, and that it recovers what rounding loses."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import copy
from dataclasses import asdict
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")
pytest.importorskip("ai_edge_quantizer", reason="needs the extra: pip install -e '.[train]'")

from anonymizer.types import Size
from scripts.train.checkpoint import load_network
from scripts.train.cli import main
from scripts.train.datasets.forms import read_sets
from scripts.train.emit import emit
from scripts.train.fakequant import Rounder, fine_tune, fold
from scripts.train.network import ARCHITECTURES, Detector
from scripts.train.networks import make_network
from scripts.train.objective import collate
from scripts.train.picture import Picture
from scripts.train.recipe import Recipe
from scripts.train.validate import validate_file
from tests.train import shapes
from tests.train.conftest import Trained
from tests.train.test_backbones import shaken

SIZE = Size(shapes.SIDE_PX, shapes.SIDE_PX)


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("backbone", ["own", "mobilenetv2"])
def test_folding_changes_nothing(backbone: str) -> None:
    torch.manual_seed(0)
    network = shaken(make_network("tiny", 1, backbone))
    picture = torch.from_numpy(image())[None].permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        before, after = network(picture), fold(copy.deepcopy(network))(picture)
    for own, other in zip(before, after, strict=True):
        torch.testing.assert_close(own.logits, other.logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(own.encodings, other.encodings, atol=1e-4, rtol=1e-4)


def test_a_rounder_watches_and_then_rounds_to_256_steps_with_zero_among_them() -> None:
    rounder, values = Rounder(), torch.linspace(-1, 3, 1000)
    assert rounder(values) is values
    rounder.freeze()
    rounded = rounder(values)
    assert len(rounded.unique()) <= 256
    assert (rounded - values).abs().max() <= 4 / 255 / 2 + 1e-6
    assert rounder(torch.tensor([0.0, 50.0])).tolist() == pytest.approx([0, 3], abs=0.02)


def test_a_tuned_network_is_one_that_can_be_exported_and_the_given_one_stays_as_it_was() -> None:
    torch.manual_seed(0)
    network = Detector(ARCHITECTURES["tiny"], 1).eval()
    before = copy.deepcopy(network.state_dict())
    boxes = np.array([[10, 10, 30, 36]], np.float32)
    batch = collate([Picture(image(), boxes, np.zeros(1, np.int32), np.zeros(1, np.bool_))])
    tuned = fine_tune(network, [image()], repeat(batch), 2, Recipe())
    torch.testing.assert_close(network.state_dict(), before)
    assert sorted(tuned.state_dict()) == sorted(before)
    weights = tuned.backbone.stages[0][0][1].weight.detach()
    steps = 127 * weights / weights.abs().amax(dim=(1, 2, 3), keepdim=True)
    assert (steps - steps.round()).abs().max() < 1e-2  # already where int8 puts them
    assert emit(tuned, Size(64, 64), description="test")


def stretch(network: Detector, factor: float) -> None:
    """Half of the stem's channels so much larger, undone in the next layer: all the same but for int8's one range."""
    norm, following = network.backbone.stem[1], network.backbone.stages[0][0][0]
    half = len(norm.weight) // 2
    with torch.no_grad():
        norm.weight[:half] *= factor
        norm.bias[:half] *= factor
        following.weight[:half] /= factor


@pytest.mark.filterwarnings("ignore::UserWarning")  # the quantizer keeps all tensors
def test_fine_tuning_recovers_what_int8_loses(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, recipe = load_network(trained.run)
    stretch(network, 1000)
    torch.save({"average": network.state_dict(), "recipe": asdict(recipe)}, tmp_path / "stretched.pt")
    size = ["--width", str(SIZE.width), "--height", str(SIZE.height)]
    export = ["export", str(tmp_path / "stretched.pt"), str(trained.data), "--name", "x", *size]
    export += ["--validation", str(trained.held_back), "--out", str(tmp_path / "out")]
    samples = read_sets([trained.held_back]).samples
    assert main([*export, "--tune-steps", "0"]) == 0
    float32, int8 = (
        validate_file(tmp_path / f"out/x-{dtype}.tflite", SIZE, samples, 0, 1) for dtype in ("float32", "int8")
    )
    assert float32.overall is not None
    assert int8.overall is not None
    assert int8.overall < 0.5 < 0.9 < float32.overall
    assert "fine-tuned" not in capsys.readouterr().out
    assert main([*export, "--tune-steps", "80"]) == 0
    tuned = validate_file(tmp_path / "out/x-int8.tflite", SIZE, samples, 0, 1)
    assert tuned.overall is not None
    assert tuned.overall > float32.overall - 0.1
    assert ", taken" in capsys.readouterr().out
