"""A classifier on the frozen maps of a zoo detector: they are the detector's own, and the graph says what it says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[train]'")

from ai_edge_litert.interpreter import Interpreter  # noqa: E402 - after the skip

from anonymizer.errors import DatasetError  # noqa: E402
from anonymizer.zoo import Zoo  # noqa: E402
from scripts.train.cli import main  # noqa: E402
from scripts.train.datasets.forms import Form, write_set  # noqa: E402
from scripts.train.datasets.training_set import TrainingSet  # noqa: E402
from scripts.train.picture import Sample  # noqa: E402
from scripts.train.presence.borrowed import GREY, STRIDES_PX, Borrowed  # noqa: E402
from scripts.train.presence.graph import to_tflite  # noqa: E402
from scripts.train.presence.learn import Recipe, answers_of, cached, calibrate, train, try_net  # noqa: E402
from scripts.train.presence.model import PresenceModel  # noqa: E402
from scripts.train.presence.pyramid import EVEN, GAIN, PyramidNet  # noqa: E402
from tests.train.test_presence_training import disc  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

NANODET = Zoo().detectors.spec("nanodet-g-float32").path


@pytest.fixture
def net() -> PyramidNet:
    return PyramidNet(NANODET.read_bytes()).eval()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_the_frozen_maps_and_first_scores_are_the_detectors_own(net: PyramidNet) -> None:
    interpreter = Interpreter(model_content=NANODET.read_bytes())
    interpreter.allocate_tensors()
    _, height, width, _ = interpreter.get_input_details()[0]["shape"]
    picture = noise(height, width)
    expected = interpreter.get_signature_runner()(image=picture[None].astype(np.float32) - np.float32(GREY))
    levels = net.lower(torch.from_numpy(picture).permute(2, 0, 1)[None])
    for stride, branch, level in zip(STRIDES_PX, net.branches, levels, strict=True):
        assert level.shape[2:] == (height // stride, width // stride)
        with torch.inference_mode():
            score = torch.sigmoid(branch(level) / GAIN + EVEN).numpy().ravel()
        assert np.abs(score - expected[f"scores_{stride}"].ravel()).max() < 1e-5


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 160)])
def test_the_graph_says_what_the_network_says_at_any_size(
    net: PyramidNet, tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "presence.tflite"
    path.write_bytes(to_tflite(net, width, height))
    picture = noise(height, width)
    with PresenceModel(path, mean=net.mean) as model:
        answer = model.answer(picture)
    (expected,) = answers_of(net, [picture])
    assert answer.map.shape == (height // 8, width // 8)
    assert np.abs(answer.map - expected.map).max() < 1e-4
    assert answer.score == pytest.approx(expected.score, abs=1e-5)


def test_the_hottest_cell_decides(net: PyramidNet) -> None:
    with torch.inference_mode():
        logits, maps = net(torch.from_numpy(noise(64, 96)).permute(2, 0, 1)[None])
    assert float(logits[0, 1] - logits[0, 0]) == float(maps[0, 1].max() - maps[0, 0].max())


def test_it_learns_from_picture_labels_and_is_calibrated_on_others(net: PyramidNet, tmp_path: Path) -> None:
    recipe = Recipe(side_px=64, expansion=1, head_epochs=6, tune_epochs=4, batch=8, head_rate=1e-2, tune_rate=1e-3)
    examples = [disc(tmp_path, number, present=present) for number in range(16) for present in (True, False)]
    frozen = net.file.clone()
    train(net, cached(net, examples, recipe), recipe, lambda line: None)
    others = [disc(tmp_path, number, present=present) for number in range(50, 60) for present in (True, False)]
    net.shift(100.0)  # sees somebody everywhere
    assert calibrate(net, cached(net, others, recipe), recipe) >= 0.9
    held_back = [
        disc(tmp_path, number, present=present).load() for number in range(90, 98) for present in (True, False)
    ]
    verdict = try_net(net, held_back, recipe.side_px)
    assert verdict.accuracy >= 0.9
    assert verdict.pointing >= 0.8
    assert torch.equal(net.file, frozen)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the quantizer keeps all tensors
def test_the_commands_train_on_a_zoo_file_and_export_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ai_edge_quantizer", reason="needs the extra: pip install -e '.[train]'")
    (tmp_path / "pictures").mkdir()
    examples = [disc(tmp_path / "pictures", number, present=True, side=200) for number in range(2)]
    samples = [Sample(each.path, each.people, np.zeros(1, np.int32), np.zeros(1, np.bool_)) for each in examples]
    write_set(TrainingSet(("person",), tuple(samples)), tmp_path / "set", Form.COCO)
    labels, run = str(tmp_path / "set" / "annotations.json"), str(tmp_path / "run")
    asked = ["--held-back", labels, "--calibrate", labels, "--weights", str(NANODET), "--per-picture", "2"]
    assert main(["presence", "train", labels, *asked, "--expansion", "1", "--out", run]) == 0
    export = ["presence", "export", f"{run}/presence.pt", labels, "--out", run]
    assert main([*export, "--width", "64", "--height", "96"]) == 0
    sheet = tmp_path / "sheet.png"
    evaluate = ["presence", "evaluate", f"{run}/presence-int8.tflite", labels, "--mean", "128"]
    assert main([*evaluate, "--sheet", str(sheet)]) == 0
    out = capsys.readouterr().out
    assert "calibrated on" in out
    assert "presence-int8.tflite at 64x96: " in out
    assert cv2.imread(str(sheet)) is not None
    assert main([*export, "--width", "64", "--height", "48"]) == 1
    assert "must be a multiple of 32" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (b"PK", "is no TFLite file"),
        (Zoo().detectors.spec("centerface-float32").path.read_bytes(), "is no NanoDet-g in float32"),
        (Zoo().detectors.spec("nanodet-g-int8").path.read_bytes(), "is no NanoDet-g in float32"),
    ],
)
def test_other_files_are_refused(file: bytes, text: str) -> None:
    with pytest.raises(DatasetError, match=text):
        Borrowed(file)
