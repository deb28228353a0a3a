"""The pooled networks: what they take over from libfacedetection, and what they add."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from torch import Tensor

from anonymizer.detect.engine import Engine
from anonymizer.errors import DatasetError
from anonymizer.types import Size
from scripts.train.canvas import CanvasMaker, CanvasSettings
from scripts.train.checkpoint import load_network
from scripts.train.cli import main
from scripts.train.emit import emit
from scripts.train.libfacedetection import read
from scripts.train.network import boxes, cells
from scripts.train.networks import make_network
from scripts.train.pooled import WIDTHS, PooledDetector, adopt
from scripts.train.recipe import Recipe
from scripts.train.trainer import Trainer

functional = torch.nn.functional
Arrays = dict[str, np.ndarray]


def weights(seed: int) -> Arrays:
    """Random weights by libfacedetection's names and in its order: outputs by inputs, 3x3 by channels, BGR."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}

    def add(name: str, inputs: int, outputs: int) -> None:
        arrays[f"{name}_pw_weight"] = rng.normal(0, (1 / inputs) ** 0.5, outputs * inputs).astype(np.float32)
        arrays[f"{name}_pw_bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
        arrays[f"{name}_dw_weight"] = rng.normal(0, 0.4, 9 * outputs).astype(np.float32)
        arrays[f"{name}_dw_bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)

    arrays["backbone__model0_pw_weight"] = rng.normal(0, 0.004, 16 * 32).astype(np.float32)
    arrays["backbone__model0_pw_bias"] = rng.normal(0, 0.1, 16).astype(np.float32)
    for stage, widths in enumerate(WIDTHS):
        for at, (before, after) in enumerate(pairwise(widths)):
            add(f"backbone__model{stage}_dp{at + 1 if len(widths) > 2 else ''}", before, after)
    for level in range(3):
        add(f"neck__lateral_convs__{level}", 64, 64)
        for part, outputs in (("cls", 1), ("obj", 1), ("bbox", 4)):
            add(f"bbox_head__multi_level_{part}__{level}", 64, outputs)
    return arrays


def unit(arrays: Arrays, name: str, x: Tensor, *, relu: bool = True) -> Tensor:
    bias = torch.from_numpy(arrays[f"{name}_pw_bias"])
    x = functional.conv2d(x, torch.from_numpy(arrays[f"{name}_pw_weight"]).view(len(bias), -1, 1, 1), bias)
    planes = torch.from_numpy(arrays[f"{name}_dw_weight"]).view(3, 3, 1, len(bias)).permute(3, 2, 0, 1)
    x = functional.conv2d(x, planes, torch.from_numpy(arrays[f"{name}_dw_bias"]), padding=1, groups=len(bias))
    return functional.relu(x) if relu else x


def theirs(arrays: Arrays, rgb: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Class, object and box maps at strides 8, 16, 32, of what lies one pixel further left."""
    bgr = functional.pad(rgb.flip(1), (0, 1, 0, 1))
    kernel = torch.from_numpy(arrays["backbone__model0_pw_weight"].reshape(16, 32)[:, :27].copy()).view(16, 3, 3, 3)
    x = functional.conv2d(
        bgr, kernel.permute(0, 3, 1, 2), torch.from_numpy(arrays["backbone__model0_pw_bias"]), stride=2
    )
    x = unit(arrays, "backbone__model0_dp", functional.relu(x))
    maps = []
    for stage in range(1, 6):
        x = functional.max_pool2d(x, 2) if stage != 2 else x
        for at in (1, 2):
            x = unit(arrays, f"backbone__model{stage}_dp{at}", x)
        maps.append(x)
    above, found = None, []
    for level in (2, 1, 0):
        x = maps[level + 2] if above is None else maps[level + 2] + functional.interpolate(above, scale_factor=2.0)
        above = unit(arrays, f"neck__lateral_convs__{level}", x)
        names = [f"bbox_head__multi_level_{part}__{level}" for part in ("cls", "obj", "bbox")]
        found.append(tuple(unit(arrays, name, above, relu=False) for name in names))
    return found[::-1]


def test_adopted_weights_say_what_libfacedetection_says() -> None:
    arrays, rgb = weights(1), torch.rand(1, 3, 64, 96) * 255
    network = make_network("pooled", 1)
    assert isinstance(network, PooledDetector)
    adopt(network, arrays)
    with torch.no_grad():
        levels = network(rgb)
        for level, (scores, objects, encodings) in zip(levels, theirs(arrays, rgb), strict=True):
            torch.testing.assert_close(level.logits, (scores + objects) / 2, rtol=1e-3, atol=1e-3)
            found = boxes(level.encodings.flatten(2).transpose(1, 2), cells([level]))
            height, width = scores.shape[2:]
            y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            centres = (encodings[0, :2] + torch.stack([x, y])) * level.stride_px + 1
            sides = encodings[0, 2:].clamp(max=6.0).exp() * level.stride_px
            expected = torch.cat([centres - sides / 2, centres + sides / 2]).flatten(1).T
            torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=0.05)


def test_a_level_of_stride_4_begins_shy_and_leaves_the_others_as_they_were() -> None:
    arrays, rgb = weights(2), torch.rand(1, 3, 64, 64) * 255
    near, far = make_network("pooled", 1), make_network("pooled-far", 1)
    assert isinstance(near, PooledDetector)
    assert isinstance(far, PooledDetector)
    adopt(near, arrays)
    adopt(far, arrays)
    with torch.no_grad():
        fine, *rest = far(rgb)
        assert fine.stride_px == 4
        for own, other in zip(near(rgb), rest, strict=True):
            torch.testing.assert_close(own.logits, other.logits)
    assert (far.heads[0].hints[1].bias < near.heads[0].hints[1].bias - 3).all()


@pytest.mark.parametrize("name", ["pooled", "pooled-far"])
def test_the_emitted_graph_computes_what_the_network_does(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = make_network(name, 1).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    image = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)
    path = tmp_path / "network.tflite"
    path.write_bytes(emit(network, Size(96, 64), description="test"))
    with Engine(path, threads=1, mean=0.0, scale=1.0) as engine, torch.no_grad():
        outputs = engine.run(image)
        for level in network(torch.from_numpy(image)[None].permute(0, 3, 1, 2).float()):
            score = level.logits.sigmoid().permute(0, 2, 3, 1).numpy()
            np.testing.assert_allclose(outputs[f"score_{level.stride_px}"], score, atol=1e-4)
            box = level.encodings.permute(0, 2, 3, 1).numpy()
            np.testing.assert_allclose(outputs[f"box_{level.stride_px}"], box, rtol=1e-3, atol=1e-3)


def test_the_pooled_backbone_freezes_from_its_input_on() -> None:
    network = make_network("pooled", 1)
    for share, learning in ((1.0, 0), (0.5, 3), (0.0, 7)):
        network.freeze(share)
        parts = [network.stem, *network.stages]
        assert sum(all(each.requires_grad for each in part.parameters()) for part in parts) == learning


def test_other_networks_refuse_libfacedetections_weights(tmp_path: Path) -> None:
    maker = CanvasMaker([], [1.0], CanvasSettings(), lambda picture, _: picture, 1)
    for recipe in (Recipe(architecture="tiny"), Recipe(architecture="pooled", classes=("face", "person"))):
        with pytest.raises(DatasetError, match="pooled and pooled-far, with one class"):
            Trainer(recipe, maker, tmp_path).adopt(weights(1))


@pytest.mark.skipif(not Path("/usr/bin/gcc").exists(), reason="needs gcc")
def test_arrays_are_read_out_of_a_shared_library_by_name(tmp_path: Path) -> None:
    source, library = tmp_path / "weights.c", tmp_path / "weights.so"
    source.write_text("float backbone__a[3] = {1, 2.5, -3}; float neck__b[1] = {7}; float other[2] = {1, 2};")
    subprocess.run(["/usr/bin/gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    found = read(library.read_bytes())
    assert {name: values.tolist() for name, values in found.items()} == {
        "backbone__a": [1.0, 2.5, -3.0],
        "neck__b": [7.0],
    }
    assert np.concatenate(list(found.values())).dtype == np.float32


def test_a_blend_lies_between_two_networks_of_one_shape(tmp_path: Path) -> None:
    maker = CanvasMaker([], [1.0], CanvasSettings(), lambda picture, _: picture, 1)
    for seed in (1, 2):
        Trainer(Recipe(architecture="tiny", seed=seed), maker, tmp_path / str(seed)).save()
    blended = tmp_path / "blended.pt"
    assert main(["blend", str(tmp_path / "1"), str(tmp_path / "2"), "--share", "0.25", "--out", str(blended)]) == 0
    first, second, between = (
        load_network(place)[0].state_dict() for place in (tmp_path / "1", tmp_path / "2", blended)
    )
    for name, value in between.items():
        torch.testing.assert_close(value.float(), 0.75 * first[name].float() + 0.25 * second[name].float())


def test_networks_of_different_shapes_are_not_blended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maker = CanvasMaker([], [1.0], CanvasSettings(), lambda picture, _: picture, 1)
    for name in ("tiny", "small"):
        Trainer(Recipe(architecture=name), maker, tmp_path / name).save()
    command = ["blend", str(tmp_path / "tiny"), str(tmp_path / "small"), "--out", str(tmp_path / "out.pt")]
    assert main(command) == 1
    assert "different shapes" in capsys.readouterr().err
    assert main([*command, "--share", "1.5"]) == 1
    assert not (tmp_path / "out.pt").exists()
