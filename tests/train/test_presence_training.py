"""The classifier learns from picture labels where somebody is, and its TFLite graph says what the network says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[train]'")

from anonymizer.errors import DatasetError  # noqa: E402 - after the skip
from scripts.train.cli import main  # noqa: E402
from scripts.train.datasets.forms import Form, write_set  # noqa: E402
from scripts.train.datasets.training_set import TrainingSet  # noqa: E402
from scripts.train.picture import Sample  # noqa: E402
from scripts.train.presence.examples import Example  # noqa: E402
from scripts.train.presence.graph import to_tflite  # noqa: E402
from scripts.train.presence.learn import Recipe, cached, copies_up_to, train, try_net  # noqa: E402
from scripts.train.presence.model import PresenceModel, try_model  # noqa: E402
from scripts.train.presence.network import SOMEBODY, PresenceNet, load_imagenet, trunk  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 64


def disc(folder: Path, number: int, *, present: bool, side: int = 80) -> Example:
    """A red disc on noise, or noise alone: easy even for a trunk of random weights."""
    rng = np.random.default_rng([number, present])
    image = rng.integers(60, 120, (side, side, 3), np.uint8)
    people = np.empty((0, 4), np.float32)
    if present:
        x, y = rng.integers(20, 60, 2).tolist()
        cv2.circle(image, (x, y), 16, (0, 0, 255), cv2.FILLED)
        people = np.array([[x - 16, y - 16, x + 16, y + 16]], np.float32)
    path = folder / f"{number}_{present}.png"
    cv2.imwrite(str(path), image)
    return Example(path, (0, 0, side, side), present=present, people=people)


@pytest.fixture
def net() -> PresenceNet:
    """Of random weights, normalised on noise so that its features have the spread that trained ones have."""
    torch.manual_seed(0)
    made = PresenceNet(units=4).train()
    for _ in range(20):
        made(torch.rand(2, 3, 32, 32) * 255)
    return made.eval()


def test_maps_average_to_the_logits_and_one_pass_gives_both(net: PresenceNet) -> None:
    logits, maps = net.eval()(torch.rand(2, 3, 64, 96) * 255)
    assert maps.shape == (2, 2, 16, 24)
    assert torch.allclose(maps.mean(dim=(2, 3)), logits)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 48)])
def test_the_graph_says_what_the_network_says(net: PresenceNet, tmp_path: Path, width: int, height: int) -> None:
    for unit in net.modules():
        if isinstance(unit, torch.nn.BatchNorm2d):  # statistics that folding could get wrong
            torch.nn.init.uniform_(unit.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(unit.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(unit.weight, 0.5, 1.5)
            torch.nn.init.uniform_(unit.bias, -0.5, 0.5)
    path = tmp_path / "presence.tflite"
    path.write_bytes(to_tflite(net, width, height))
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    with PresenceModel(path) as model:
        answer = model.answer(picture)
    with torch.inference_mode():
        logits, maps = net.eval()(torch.from_numpy(picture).permute(2, 0, 1)[None].float())
    expected = (maps[0, SOMEBODY] - maps[0, 1 - SOMEBODY]).numpy()
    assert answer.map.shape == expected.shape
    assert np.abs(answer.map - expected).max() < 1e-3 * np.abs(expected).max()
    assert answer.score == pytest.approx(float(logits.softmax(1)[0, SOMEBODY]), abs=1e-4)


def test_it_learns_from_picture_labels_where_somebody_is(net: PresenceNet, tmp_path: Path) -> None:
    recipe = Recipe(side_px=SIDE, expansion=2, frozen_units=2, head_epochs=20, tune_epochs=8, batch=8)
    examples = [disc(tmp_path, number, present=present) for number in range(16) for present in (True, False)]
    cache = cached(net, examples, recipe)
    assert len(cache.present) == 64
    assert len(copies_up_to(cache, 1, recipe).present) == 32
    said: list[str] = []
    train(net, cache, recipe, said.append)
    held_back = [
        disc(tmp_path, number, present=present).load() for number in range(90, 98) for present in (True, False)
    ]
    verdict = try_net(net, held_back, SIDE)
    assert verdict.accuracy >= 0.9
    assert verdict.pointing >= 0.8
    assert said[-1].startswith("epoch 8 of 8")
    path = tmp_path / "presence.tflite"
    path.write_bytes(to_tflite(net, SIDE, SIDE))
    with PresenceModel(path) as model:
        assert try_model(model, held_back).verdict == verdict


def test_training_twice_gives_the_same_weights(tmp_path: Path) -> None:
    recipe = Recipe(side_px=SIDE, expansion=2, frozen_units=2, head_epochs=2, tune_epochs=1, batch=8)
    examples = [disc(tmp_path, number, present=present) for number in range(4) for present in (True, False)]
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        twin = PresenceNet(units=4)
        train(twin, cached(twin, examples, recipe), recipe, lambda line: None)
        states.append(twin.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_published_weights_fit_the_trunk_and_pixels_are_normalised_in_it(tmp_path: Path) -> None:
    published = {f"features.{key}": value for key, value in trunk(3).state_dict().items() if key != "0.0.bias"}
    torch.save(published, tmp_path / "weights.pth")
    loaded = trunk(3)
    load_imagenet(loaded, tmp_path / "weights.pth")
    picture = torch.rand(1, 3, 32, 32)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normal = (picture - mean[:, None, None]) / deviation[:, None, None]
    first = torch.nn.functional.conv2d(normal, published["features.0.0.weight"], stride=2)
    assert torch.allclose(
        torch.nn.functional.conv2d(picture * 255, loaded[0][0].weight, loaded[0][0].bias, stride=2), first, atol=1e-4
    )


@pytest.mark.filterwarnings("ignore::UserWarning")  # the quantizer keeps all tensors
def test_the_commands_train_export_and_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_quantizer", reason="needs the extra: pip install -e '.[train]'")
    torch.save(
        {f"features.{key}": value for key, value in trunk(14).state_dict().items() if key != "0.0.bias"},
        tmp_path / "weights.pth",
    )
    (tmp_path / "pictures").mkdir()
    examples = [disc(tmp_path / "pictures", number, present=True, side=200) for number in range(2)]
    samples = [Sample(each.path, each.people, np.zeros(1, np.int32), np.zeros(1, np.bool_)) for each in examples]
    write_set(TrainingSet(("person",), tuple(samples)), tmp_path / "set", Form.COCO)
    labels, weights = str(tmp_path / "set" / "annotations.json"), str(tmp_path / "weights.pth")
    common = [labels, "--held-back", labels, "--weights", weights, "--per-picture", "2"]
    run = str(tmp_path / "run")
    assert main(["presence", "train", *common, "--expansion", "1", "--tune-epochs", "0", "--out", run]) == 0
    assert main(["presence", "compare", *common, "--expansion", "1", "2"]) == 0
    size = ["--width", "64", "--height", "48"]
    assert main(["presence", "export", f"{run}/presence.pt", labels, *size, "--out", run]) == 0
    sheet = str(tmp_path / "sheet.png")
    assert main(["presence", "evaluate", f"{run}/presence-int8.tflite", labels, "--sheet", sheet]) == 0
    out = capsys.readouterr().out
    assert "expansion 2: " in out
    assert "presence-int8.tflite at 64x48: " in out
    assert cv2.imread(sheet) is not None
    assert main(["presence", "export", weights, labels, "--out", run]) == 1
    assert "is no checkpoint of a presence classifier" in capsys.readouterr().err


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.0.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(DatasetError, match=r"weights.pth: is no file of MobileNetV2's weights"):
        load_imagenet(trunk(3), tmp_path / "weights.pth")
