"""Dense distillation: what of a teacher's maps becomes a lesson, and that it is learned."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from torch import Tensor

from anonymizer.detect.families import Candidates
from anonymizer.errors import ModelError
from scripts.train.checkpoint import load_network
from scripts.train.cli import main
from scripts.train.datasets.forms import read_sets
from scripts.train.distil import Grid, NetworkTeacher, OnnxDenseTeacher, Tutor, distillation
from scripts.train.network import ARCHITECTURES, Detector
from scripts.train.validate import validate
from tests.train import shapes
from tests.train.conftest import Trained, fit

SIDE_PX = 64


def network(classes: int = 1) -> Detector:
    torch.manual_seed(0)
    return Detector(ARCHITECTURES["tiny"], classes).eval()


def pictures() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 3, SIDE_PX, SIDE_PX), dtype=np.uint8))


class OneCell:
    """Scores one cell of one stride with 0.9, its box the cell itself."""

    classes = ("face",)

    def __init__(self, stride_px: int, row: int, column: int) -> None:
        self._at = (stride_px, row, column)
        self.shown: list[tuple[int, ...]] = []

    def look(self, shown: Tensor) -> Iterator[Grid]:
        self.shown.append(tuple(shown.shape))
        stride, row, column = self._at
        side = shown.shape[2] // stride
        scores, boxes = torch.zeros(2, 1, side, side), torch.zeros(2, 4, side, side)
        scores[:, :, row, column] = 0.9
        box = torch.tensor([column, row, column + 1, row + 1]) * stride
        boxes[:, :, row, column] = box.float()
        yield Grid(stride, scores, boxes)


def test_who_says_what_the_teacher_says_has_nothing_to_learn() -> None:
    own = network()
    with torch.no_grad():
        own.head.score.bias.fill_(1.0)  # so that boxes are taught too
        levels = own(pictures().float())
        lesson = Tutor(NetworkTeacher(own, ("face",)), ("face",), (1,)).teach(pictures(), levels)
        score_loss, box_loss = distillation(levels, lesson, 2.0)
    assert lesson.is_taught.all()
    assert (lesson.scores >= 0.4).any()
    assert score_loss.item() == pytest.approx(0, abs=1e-4)
    assert box_loss.item() == pytest.approx(0, abs=1e-4)


def test_a_teacher_that_scores_differently_pulls_both_maps() -> None:
    own = network()
    levels = own(pictures().float())
    lesson = Tutor(OneCell(8, 2, 3), ("face",), (1,)).teach(pictures(), levels)
    sum(distillation(levels, lesson, 2.0)).backward()
    assert own.head.score.bias.grad.abs().item() > 0
    assert own.head.box.bias.grad.abs().max().item() > 0


@pytest.mark.parametrize(
    ("stride_px", "zoom", "cell", "box"),
    [
        (8, 1, 2 * 8 + 3, [24, 16, 32, 24]),
        (16, 2, 2 * 8 + 3, [24, 16, 32, 24]),  # of the canvas twice as large: cells of half the stride
        (8, 2, 1 * 8 + 1, [12, 8, 16, 12]),  # four of its finest cells are one of ours
    ],
)
def test_a_teachers_cell_teaches_the_cell_of_the_same_place(
    stride_px: int, zoom: int, cell: int, box: list[int]
) -> None:
    teacher = OneCell(stride_px, 2, 3)
    lesson = Tutor(teacher, ("face",), (zoom,)).teach(pictures(), network()(pictures().float()))
    assert teacher.shown == [(2, 3, SIDE_PX * zoom, SIDE_PX * zoom)]
    assert torch.nonzero(lesson.scores[0, :, 0]).flatten().tolist() == [cell]
    assert lesson.boxes[1, cell].tolist() == box
    assert lesson.is_taught[:, 0].tolist() == [True] * 64 + [False] * 20  # nothing of the coarser levels


def test_of_two_sizes_the_better_score_counts() -> None:
    class Surer(OneCell):
        def look(self, shown: Tensor) -> Iterator[Grid]:
            for grid in super().look(shown):
                yield Grid(grid.stride_px, grid.scores * (1 if shown.shape[2] > SIDE_PX else 0.5), grid.boxes)

    lesson = Tutor(Surer(16, 2, 3), ("face",), (1, 2)).teach(pictures(), network()(pictures().float()))
    assert lesson.scores[0, :, 0].max().item() == pytest.approx(0.9)
    assert lesson.scores[0, 64 + 2 * 4 + 3, 0].item() == pytest.approx(0.45)


def test_a_class_that_the_teacher_does_not_know_is_left_to_the_labels() -> None:
    lesson = Tutor(OneCell(8, 2, 3), ("person", "face"), (1,)).teach(pictures(), network(2)(pictures().float()))
    assert not lesson.is_taught[:, 0].any()
    assert lesson.is_taught[:64, 1].all()
    assert lesson.scores[0, 2 * 8 + 3].tolist() == pytest.approx([0, 0.9])


class Finder:
    """An ONNX file that tells so many candidates."""

    def __init__(self, count: int) -> None:
        self._count = count

    def find(self, rgb: np.ndarray, least: float) -> Candidates:
        assert rgb.shape == (SIDE_PX, SIDE_PX, 3)
        assert least == 0
        scores = np.linspace(0, 1, self._count, dtype=np.float32)
        return Candidates(np.zeros((self._count, 4), np.float32), scores, np.zeros(self._count, np.int32))


def test_an_onnx_file_that_tells_one_candidate_of_each_cell_is_a_dense_teacher() -> None:
    grids = list(OnnxDenseTeacher("x", Finder(84)).look(pictures().float()))
    assert [grid.stride_px for grid in grids] == [8, 16, 32]
    assert [tuple(grid.scores.shape) for grid in grids] == [(2, 1, 8, 8), (2, 1, 4, 4), (2, 1, 2, 2)]
    assert grids[0].scores[0, 0].flatten()[1].item() == pytest.approx(1 / 83)
    assert tuple(grids[0].boxes.shape) == (2, 4, 8, 8)
    with pytest.raises(ModelError, match="does not say one thing of each cell"):
        list(OnnxDenseTeacher("x", Finder(83)).look(pictures().float()))


def test_a_student_learns_from_the_teachers_maps_alone(trained: Trained, tmp_path: Path) -> None:
    data = shapes.write(tmp_path / "set", 60, seed=11)
    more = ("--teacher", str(trained.run), "--truth", "0", "--steps", "160", "--rate", "5e-3", "--batch", "8")
    assert main(fit(data, tmp_path / "student", *more)) == 0
    student, recipe = load_network(tmp_path / "student")
    precision = validate(student, read_sets([trained.held_back]).samples, 0, shapes.SIDE_PX)
    assert recipe.teacher.startswith("best.pt ")
    assert precision.overall is not None
    assert precision.overall >= 0.8
