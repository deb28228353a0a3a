"""The head of the network of silhouettes learns what the whole network draws, and the file draws what was learned."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from ai_edge_litert.interpreter import Interpreter

from anonymizer.detect.shape import UNSURE_LOGIT
from anonymizer.types import F32, U8
from anonymizer.zoo import Zoo
from scripts.models import pose_mask
from scripts.models.graph import GraphWriter, constant, read
from scripts.train.cli import main
from scripts.train.silhouette import (
    MARGIN_PX,
    PATCH_PX,
    SQUARE_PX,
    Head,
    HeadRecipe,
    Lessons,
    learn,
    make_as_sure,
    prepare,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def lessons(count: int = 20) -> Lessons:
    """Features that tell on which side of an edge a pixel lies, at half of the mask's side; all but one are noise."""
    rng = np.random.default_rng(5)
    y, x = np.indices((2 * PATCH_PX, 2 * PATCH_PX)) - PATCH_PX
    ways, places = rng.uniform(0, 2 * np.pi, (count, 1, 1)), rng.uniform(-20, 20, (count, 1, 1))
    logits = np.cos(ways) * x + np.sin(ways) * y - places
    features = rng.uniform(0, 1, (count, PATCH_PX, PATCH_PX, 8))
    features[..., 3] = logits.reshape(count, PATCH_PX, 2, PATCH_PX, 2).mean(axis=(2, 4)).clip(-3, 3) + 3
    return Lessons(features.astype(np.float16), logits.astype(np.float16), np.ones(logits.shape, np.float16))


def drawn(head: Head, features: F32) -> F32:
    with torch.inference_mode():
        return np.asarray(head(torch.from_numpy(features).permute(0, 3, 1, 2))[:, 0])


def test_a_file_draws_what_the_head_drew_in_training() -> None:
    torch.manual_seed(1)
    head = Head()
    writer = GraphWriter(half_weights=True)
    mask = pose_mask.draw(writer, writer.input("features", (1, 12, 16, 8)), head.weights())
    interpreter = Interpreter(model_content=writer.finish([mask], description="head"))
    interpreter.allocate_tensors()
    features = np.random.default_rng(2).uniform(0, 6, (1, 12, 16, 8)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], features)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert found.shape == (1, 24, 32, 1)
    assert found[..., 0] == pytest.approx(drawn(head, features), abs=0.02)


def test_a_head_learns_the_masks_and_twice_the_same() -> None:
    recipe, taught = HeadRecipe(steps=100, batch=6), lessons()
    head = learn(taught, recipe, begin={})
    wanted, found = taught.logits > 0, drawn(head, taught.features.astype(np.float32)) > 0
    assert (wanted & found).sum() / (wanted | found).sum() > 0.95
    again = learn(taught, recipe, begin={})
    assert all(np.array_equal(values, again.weights()[name]) for name, values in head.weights().items())


class Seer:
    """A network that sees somebody wherever a picture is bright, and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[U8] = []

    def look(self, rgb: U8) -> tuple[F32, F32]:
        self.shown.append(rgb)
        logits = rgb[..., 0].astype(np.float32) - 128
        return np.repeat(logits[::2, ::2, None], 8, axis=2), logits


def test_a_head_is_made_as_sure_as_the_network_was_and_draws_the_same() -> None:
    taught = lessons()
    torch.manual_seed(1)
    head = Head()
    features = taught.features.astype(np.float32)
    before = drawn(head, features) > 0
    make_as_sure(head, taught)
    unsure = [(np.abs(each) < UNSURE_LOGIT).mean(axis=(1, 2)) for each in (drawn(head, features), taught.logits)]
    assert np.median(unsure[0]) == pytest.approx(np.median(unsure[1]), rel=0.3)
    assert np.array_equal(before, drawn(head, features) > 0)


def test_lessons_show_every_clip_alike_and_patches_lie_where_their_masks_do() -> None:
    dark, bright = np.zeros((SQUARE_PX, SQUARE_PX, 3), np.uint8), np.full((SQUARE_PX, SQUARE_PX, 3), 250, np.uint8)
    dark[100:200, 150:220] = 250
    seer = Seer()
    taught = prepare([[bright], [dark] * 9], seer, HeadRecipe(pictures=12))  # type: ignore[arg-type]
    assert taught.features.shape[1:] == (PATCH_PX, PATCH_PX, 8)
    assert np.array_equal(taught.features[..., 0], taught.logits[:, ::2, ::2])
    edges = np.stack(
        [(taught.weights[:, row] > 0).any(axis=1) for row in (0, -1)], axis=1
    )  # the first and the last row: learned only at a picture's edge
    assert {True, False} == set(edges[:, 0].tolist()) == set(edges[:, 1].tolist())
    assert (taught.weights[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] == 1).all()
    brightness = [picture.mean() for picture in seer.shown]
    assert all(first > second for first, second in zip(brightness[::2], brightness[1::2], strict=True))


def test_the_committed_file_draws_with_the_committed_record() -> None:
    """Its convolutions, in the file's order, end with the head's."""
    head = pose_mask.read_head()
    model = read(Zoo().silhouettes.spec(pose_mask.NAME).path.read_bytes())
    weighted = [op for op in model.subgraphs[0].operators if len(op.inputs) == 3]
    stored = [np.asarray(constant(model, place)) for op in weighted for place in op.inputs[1:3]]
    assert len(head) == 4 * pose_mask.BLOCKS + 2
    for values, kept in zip(head.values(), stored[-len(head) :], strict=True):
        assert np.array_equal(values, kept)


def test_clips_in_which_nobody_is_found_teach_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pose_mask, "source", lambda *_: b"")
    monkeypatch.setattr("scripts.train.silhouette.people", lambda *_: iter(()))
    record = tmp_path / "record.json"
    assert main(["silhouette", "yard.mp4", "--cache", str(tmp_path), "--record", str(record)]) == 1
    assert "yard.mp4: nobody was found" in capsys.readouterr().err
    assert not record.exists()
