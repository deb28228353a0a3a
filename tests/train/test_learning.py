"""The training core: losses, assignment, canvases, resumption, and from shapes to an int8 file that finds them."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from anonymizer.detect.engine import Engine
from anonymizer.detect.families import make_family
from anonymizer.models import SUGGESTED_THRESHOLD
from anonymizer.types import Size, Target
from scripts.train.assign import Labels, assign
from scripts.train.canvas import CanvasMaker, CanvasSettings, store
from scripts.train.checkpoint import load_checkpoint, load_network
from scripts.train.cli import main
from scripts.train.datasets.forms import read_sets
from scripts.train.fit import camera_damage
from scripts.train.losses import focal, iou_and_giou
from scripts.train.network import ARCHITECTURES, Detector, boxes, cells, flat
from scripts.train.validate import validate
from tests.train import shapes
from tests.train.conftest import Trained, fit

ROOT = Path(__file__).parent.parent.parent


def test_focal_loss_with_gamma_0_is_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, targets = torch.randn(1000, generator=generator) * 4, torch.rand(1000, generator=generator).round()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    assert torch.equal(focal(logits, targets, gamma=0), expected)


def test_focal_loss_is_the_published_one_for_hard_targets() -> None:
    logits, targets = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 1.0, 0.0])
    right = torch.where(targets == 1, logits.sigmoid(), 1 - logits.sigmoid())
    torch.testing.assert_close(focal(logits, targets, gamma=2), -((1 - right) ** 2) * right.log())


def test_a_soft_target_that_is_met_costs_nothing() -> None:
    target = torch.tensor([0.3, 0.8])
    torch.testing.assert_close(focal(target.logit(), target, gamma=2), torch.zeros(2))


def test_giou_falls_below_zero_as_boxes_part() -> None:
    box = torch.tensor([[0.0, 0, 10, 10]])
    same, near, far = (iou_and_giou(box, box + shift)[1].item() for shift in (0.0, 12.0, 40.0))
    assert same == pytest.approx(1)
    assert far < near < 0
    assert iou_and_giou(box, torch.tensor([[0.0, 0, 10, 5]]))[0].item() == pytest.approx(0.5)


def labels(*rows: tuple[float, float, float, float], ignore: tuple[bool, ...] = ()) -> Labels:
    count = len(rows)
    return Labels(
        picture=torch.zeros(count, dtype=torch.long),
        boxes=torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
        class_ids=torch.zeros(count, dtype=torch.long),
        ignore=torch.tensor(ignore or (False,) * count, dtype=torch.bool),
    )


def assigned(wanted: Labels) -> tuple[list[int], list[int]]:
    """Cell and label of every pair, for a fresh network on a black picture of 128 pixels."""
    torch.manual_seed(0)
    network = Detector(ARCHITECTURES["tiny"], 1).eval()
    with torch.no_grad():
        levels = network(torch.zeros(1, 3, 128, 128))
        pairs = assign(levels, *flat(levels), cells(levels), wanted)
    return pairs.cell.tolist(), pairs.label.tolist()


def test_every_label_gets_a_cell_however_small_and_wherever() -> None:
    rows = [(1.0, 1.0, 4.0, 5.0), (60, 60, 64, 66), (124, 124, 128, 128), (0, 0, 128, 128), (30, 90, 60, 127)]
    found_cells, found_labels = assigned(labels(*rows))
    assert set(found_labels) == set(range(len(rows)))
    assert len(set(found_cells)) == len(found_cells)


def test_ignored_labels_and_empty_pictures_get_no_cell() -> None:
    assert assigned(labels((10, 10, 40, 50), ignore=(True,))) == ([], [])
    assert assigned(labels()) == ([], [])


def test_the_backbone_freezes_from_its_input_on() -> None:
    network = Detector(ARCHITECTURES["tiny"], 1)
    for share, learning in ((1.0, 0), (0.5, 2), (0.0, 5)):
        network.train()
        network.freeze(share)
        parts = [network.backbone.stem, *network.backbone.stages]
        assert sum(part.training for part in parts) == learning
        assert sum(all(each.requires_grad for each in part.parameters()) for part in parts) == learning


def test_a_canvas_is_the_same_for_the_same_number_and_its_boxes_lie_inside(tmp_path: Path) -> None:
    pictures = [store(sample) for sample in read_sets([shapes.write(tmp_path / "set", 6, seed=3)]).samples]

    def maker(seed: int) -> CanvasMaker:
        return CanvasMaker(pictures, [1.0] * len(pictures), CanvasSettings(side_px=96), camera_damage(0), seed)

    assert np.array_equal(maker(1).make(7).image, maker(1).make(7).image)
    assert not np.array_equal(maker(1).make(7).image, maker(2).make(7).image)
    labelled = 0
    for number in range(60):
        canvas = maker(1).make(number)
        assert canvas.image.shape == (96, 96, 3)
        assert ((canvas.boxes >= 0) & (canvas.boxes <= 96)).all()
        counted = canvas.boxes[~canvas.ignore]
        assert (counted[:, 3] - counted[:, 1] >= CanvasSettings().least_label_px).all()
        labelled += len(counted)
    assert labelled > 60


def test_a_run_that_is_killed_resumes_to_the_weights_of_an_undisturbed_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shapes.write(tmp_path / "set", 8, seed=5)
    assert main(fit(data, tmp_path / "teacher", "--steps", "2", "--seed", "9")) == 0
    taught = ("--teacher", str(tmp_path / "teacher"), "--teacher-zoom", "1", "2")
    more = ("--steps", "60", "--save-every", "10", *taught)
    command = [sys.executable, "-u", "-m", "scripts.train", *fit(data, tmp_path / "killed", *more)]
    checkpoint = tmp_path / "killed/checkpoint.pt"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "50/60" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    step = load_checkpoint(checkpoint)["step"]
    assert 0 < step < 60
    assert main(fit(data, tmp_path / "killed", *more)) == 0
    assert main(fit(data, tmp_path / "whole", *more)) == 0
    resumed, whole = load_checkpoint(checkpoint), load_checkpoint(tmp_path / "whole/checkpoint.pt")
    assert resumed["step"] == whole["step"] == 60
    for part in ("network", "average"):
        for name, value in whole[part].items():
            assert torch.equal(resumed[part][name], value), name
    assert main(fit(data, tmp_path / "whole", "--steps", "61")) == 1
    assert "holds a run with teacher checkpoint.pt" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")  # the quantizer keeps all tensors
def test_from_shapes_to_an_int8_file_that_finds_them(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ai_edge_quantizer", reason="needs the extra: pip install -e '.[train]'")
    run, data = trained.run, trained.data
    network, _ = load_network(run)
    samples = read_sets([trained.held_back]).samples
    precision = validate(network, samples, 0, shapes.SIDE_PX)
    assert precision.overall is not None
    assert precision.overall >= 0.9
    assert (run / "curve.csv").read_text().count("\n") == 3
    assert (run / "curve.png").stat().st_size > 1000

    size = ("--width", "160", "--height", "160")
    target = ("--name", "oval", "--out", str(tmp_path / "out"), *size)
    assert main(["export", str(run), str(data), *target]) == 0
    assert "oval-int8.tflite --threshold 0.3`" in capsys.readouterr().out  # what `models add` takes by itself
    assert SUGGESTED_THRESHOLD == 0.3
    assert "threshold: 0.3\n" in (tmp_path / "out/oval.yaml").read_text()
    family = make_family("anchorfree", Size(160, 160), (Target.FACE,))
    for dtype, tolerance in (("float32", 1e-3), ("int8", 0.1)):
        with Engine(tmp_path / f"out/oval-{dtype}.tflite", threads=1, mean=0.0, scale=1.0) as engine:
            for sample in samples[:10]:
                image = sample.load().image
                found = family.decode(engine.run(image), 0.05)
                with torch.inference_mode():
                    levels = network(torch.from_numpy(image)[None].permute(0, 3, 1, 2).float())
                    logits, encodings = flat(levels)
                    expected = boxes(encodings, cells(levels))[0].numpy()
                scores = logits[0, :, 0].sigmoid().numpy()
                assert found.scores.max() == pytest.approx(scores.max(), abs=tolerance)
                best = found.boxes[found.scores.argmax()]
                assert np.abs(expected - best).max(axis=1).min() < 100 * tolerance
