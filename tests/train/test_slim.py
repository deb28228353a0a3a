"""A finished detector made narrower: nothing is lost by what costs nothing, and the rest is learned back."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from ai_edge_litert.interpreter import Interpreter
from torch import Tensor

from anonymizer.errors import DatasetError
from anonymizer.types import Size
from anonymizer.zoo import Zoo
from scripts.train.canvas import CanvasMaker
from scripts.train.cli import main
from scripts.train.integer import to_int8
from scripts.train.slim.budget import areas, prune
from scripts.train.slim.emit import emit
from scripts.train.slim.even import even
from scripts.train.slim.fit import SlimRun, load_slim, run
from scripts.train.slim.lesson import compare, landmarks
from scripts.train.slim.network import Kind, SlimNetwork
from scripts.train.slim.reading import open_network
from scripts.train.slim.surgery import course, cut, groups, measure, merge
from tests.train.slim_rig import SIZE, batch, joined, noise, small_run, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

CENTERFACE = Zoo().detectors.spec("centerface-float32").path
NANODET = Zoo().detectors.spec("nanodet-g-float32").path


def says(network: SlimNetwork, pictures: Tensor) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        made = network(pictures)
    scores = network.plan.scores
    found = {name: made[at].sigmoid() if name in scores else made[at] for name, at in network.plan.outputs.items()}
    rows = {name: values.permute(0, 2, 3, 1) for name, values in found.items()}
    flat = network.plan.flat
    return {name: (values.flatten(1, 2) if name in flat else values).numpy() for name, values in rows.items()}


def file_says(file: bytes, picture: Tensor) -> dict[str, np.ndarray]:
    image = np.ascontiguousarray(picture.permute(0, 2, 3, 1).numpy(), np.float32)
    run_ = Interpreter(model_content=file, num_threads=1).get_signature_runner()
    return {name: values.copy() for name, values in run_(image=image).items()}


def difference(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


@pytest.fixture
def network() -> SlimNetwork:
    return open_network(tiny()).eval()


@pytest.mark.parametrize(
    ("file", "size"),
    [(tiny(), SIZE), (CENTERFACE.read_bytes(), Size(640, 384)), (NANODET.read_bytes(), Size(480, 320))],
    ids=["tiny", "CenterFace, half weights", "NanoDet"],
)
def test_the_network_says_what_its_file_says_and_a_file_of_it_the_same_again(file: bytes, size: Size) -> None:
    found = open_network(file)
    pictures = batch(noise(size))
    assert difference(says(found, pictures), file_says(file, pictures)) < 1e-4
    again = emit(found, size, description="again", half_weights=False)
    assert difference(file_says(again, pictures), file_says(file, pictures)) < 1e-5


@pytest.mark.filterwarnings("ignore::UserWarning")  # the quantizer keeps all tensors
def test_a_file_in_int8_is_read_as_what_its_weights_stand_for(network: SlimNetwork) -> None:
    views = [noise(seed=seed) for seed in range(2)]
    found = open_network(to_int8(tiny(), views)).eval()
    for one, other in zip(network.plan.steps, found.plan.steps, strict=True):
        assert one.kind is other.kind
        if str(one.result) in network.weights:
            for exact, rounded in zip(network.of(one), found.of(other), strict=True):
                assert rounded.shape == exact.shape
                assert float((rounded - exact).abs().max()) <= 0.005 * float(exact.abs().max())
    assert found.plan.outputs.keys() == network.plan.outputs.keys()
    assert found.plan.scores == network.plan.scores


def test_it_takes_any_size_in_the_end(network: SlimNetwork) -> None:
    pictures = batch(noise(Size(96, 32)))
    file = emit(network, Size(96, 32), description="wide", half_weights=True)
    assert difference(says(network, pictures), file_says(file, pictures)) < 0.05
    assert says(network, pictures)["heat"].shape == (1, 8, 24, 1)


def test_two_convolutions_in_a_row_become_one_where_that_is_cheaper(network: SlimNetwork) -> None:
    pictures, before = batch(noise()), len(network.plan.steps)
    expected = says(network, pictures)
    merge(network)
    # 48 to 40 to 12 is one now; 16 to 8 to 64 would cost more as one
    assert len(network.plan.steps) == before - 1
    assert difference(says(network, pictures), expected) < 1e-4


def test_what_the_network_puts_out_is_neither_merged_away_nor_narrowed(network: SlimNetwork) -> None:
    merged = open_network(tiny())
    merge(merged)
    (inner,) = {step.result for step in network.plan.steps} - {step.result for step in merged.plan.steps}
    maker = groups(network)[-1].maker.result
    outputs = {**network.plan.outputs, "inner": inner, "channels": maker}
    network.plan = dataclasses.replace(network.plan, outputs=outputs)
    before = network.plan.steps
    merge(network)
    assert network.plan.steps == before
    assert maker not in {group.maker.result for group in groups(network)}


def test_channels_that_only_repeat_others_go_first_and_nothing_changes(network: SlimNetwork) -> None:
    group = groups(network)[1]
    count = len(network.of(group.maker)[0])
    half = count // 2
    assert group.filter is not None
    for step in (group.maker, group.filter):
        weights, bias = network.of(step)
        network.put(step.result, torch.cat([weights[:half]] * 2).detach(), torch.cat([bias[:half]] * 2).detach())
    pictures = [batch(noise(seed=at)) for at in range(4)]
    expected = says(network, pictures[0])
    moments = measure(network, pictures, "heat")
    planned = course(network, group, moments[group])
    assert planned.losses[half - 1] < 1e-3 < planned.losses[half + half // 2]
    cut(network, group, moments[group], planned.order[:half])
    assert len(network.of(group.maker)[0]) == count - half
    assert difference(says(network, pictures[0]), expected) < 1e-2


def test_each_further_channel_costs_more_and_what_stays_does_the_work_of_what_goes(network: SlimNetwork) -> None:
    group = groups(network)[1]
    pictures = [batch(noise(seed=at)) for at in range(4)]
    moments = measure(network, pictures, "heat")[group]
    planned = course(network, group, moments)
    assert list(planned.losses) == sorted(planned.losses)
    (reader,) = group.readers
    before = says_of(network, reader.result, pictures[0])
    gone = planned.order[:16]
    bare = open_network(tiny())
    staying = sorted(set(range(len(moments.mean))) - set(gone))
    assert group.filter is not None
    for step in (group.maker, group.filter):
        bare.put(step.result, *(each[staying].detach() for each in bare.of(step)))
    bare.put(reader.result, bare.of(reader)[0][:, staying].detach(), bare.of(reader)[1].detach())
    cut(network, group, moments, gone)
    left_out = float(np.square(says_of(bare, reader.result, pictures[0]) - before).mean())
    solved = float(np.square(says_of(network, reader.result, pictures[0]) - before).mean())
    assert solved < 0.5 * left_out


def says_of(network: SlimNetwork, tensor: int, pictures: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(network(pictures, [tensor])[tensor])


@pytest.mark.parametrize(("file", "score"), [(tiny(), "heat"), (joined(), "score")], ids=["in a row", "joined"])
def test_about_the_share_stays_that_was_asked_for(file: bytes, score: str) -> None:
    def work(of: SlimNetwork) -> float:
        area = areas(of.plan)
        weighed = [step for step in of.plan.steps if step.kind in (Kind.CONV, Kind.DEPTHWISE, Kind.DOUBLE)]
        return sum(area[step.result] * of.of(step)[0].numel() for step in weighed)

    whole, network = open_network(file), open_network(file)
    merge(whole)
    merge(network)
    prune(network, [batch(noise(seed=at)) for at in range(4)], score, keep=0.6)
    assert 0.5 < work(network) / work(whole) < 0.75
    assert all(np.isfinite(values).all() for values in says(network, batch(noise())).values())


def test_channels_that_are_joined_with_others_go_as_well_and_what_is_written_says_the_same() -> None:
    network = open_network(joined())
    before = {step.result: len(network.of(step)[1]) for step in network.plan.steps if step.kind is Kind.CONV}
    prune(network, [batch(noise(seed=at)) for at in range(4)], "score", keep=0.5)
    concatenations = [step for step in network.plan.steps if step.kind is Kind.CONCAT]
    narrower = {tensor for tensor, count in before.items() if network.width(tensor) < count}
    assert all(narrower.intersection(network.parts(step.result)) for step in concatenations)
    pictures = batch(noise())
    file = emit(network, SIZE, description="narrow", half_weights=False)
    assert difference(says(network, pictures), file_says(file, pictures)) < 1e-4


def test_evened_channels_reach_more_alike_and_say_the_same(network: SlimNetwork) -> None:
    step = groups(network)[0].maker
    weights, bias = network.of(step)
    scale = torch.ones(len(bias))
    scale[:8] = 0.25
    network.put(step.result, (weights * scale[:, None, None, None]).detach(), (bias * scale).detach())
    pictures = batch(noise())
    fair = even(network, [pictures])
    assert difference(says(fair, pictures), says(network, pictures)) < 1e-4

    def spread(of: SlimNetwork) -> float:
        peaks = says_of(of, step.result, pictures).max((0, 2, 3))
        return float(peaks.max() / np.median(peaks))

    assert spread(fair) < spread(network)


def test_a_teacher_beside_itself_has_nothing_to_learn(network: SlimNetwork) -> None:
    marks = landmarks(network)
    with torch.inference_mode():
        made = network(batch(noise()), marks)
        losses = compare(network.plan, made, made, marks)
    assert marks
    assert float(losses.sum()) == 0.0


def test_of_distributions_it_counts_how_they_differ_and_not_by_how_much_the_logits_are_raised() -> None:
    network = open_network(joined())
    with torch.inference_mode():
        made = network(batch(noise()))
        at = network.plan.outputs["distances"]
        raised, other = {**made, at: made[at] + 3}, {**made, at: made[at].flip(1)}
        alike, apart = (compare(network.plan, each, made, []).boxes for each in (raised, other))
    assert float(alike) == pytest.approx(0.0, abs=1e-5)
    assert float(apart) > 0.01


def test_learning_brings_the_narrow_one_nearer(tmp_path: Path, canvases: CanvasMaker) -> None:
    own = small_run(tmp_path, canvases, steps=60, rate=1e-2)
    losses = [float(own.learn().sum()) for _ in range(60)]
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])


def test_a_run_that_goes_on_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, canvases: CanvasMaker) -> None:
    run(small_run(tmp_path / "whole", canvases), save_every=100, say=lambda _: None)
    broken = small_run(tmp_path / "broken", canvases)
    broken.learn()
    broken.learn()
    broken.save()
    broken.learn()  # lost
    lines: list[str] = []
    run(small_run(tmp_path / "broken", canvases), save_every=1, say=lines.append)
    (whole, _), (other, _) = load_slim(tmp_path / "whole"), load_slim(tmp_path / "broken" / "checkpoint.pt")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), other.parameters(), strict=True))
    assert lines[-1].startswith("4/4")


def test_a_finished_run_goes_on_with_more_steps(tmp_path: Path, canvases: CanvasMaker) -> None:
    run(small_run(tmp_path, canvases), save_every=100, say=lambda _: None)
    own = small_run(tmp_path, canvases, steps=6)
    assert own.step == 4
    assert not run(own, save_every=100, say=lambda _: None)
    assert own.step == 6


def test_a_run_of_another_recipe_is_not_gone_on_with(tmp_path: Path, canvases: CanvasMaker) -> None:
    own = small_run(tmp_path, canvases)
    own.save()
    other = SlimRun(tiny(), dataclasses.replace(own.recipe, keep=0.3), canvases, tmp_path)
    with pytest.raises(DatasetError, match="name another folder"):
        other.start()


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"no file", "no TFLite"),
        (tiny("nearest"), "RESIZE_NEAREST_NEIGHBOR"),
        (tiny("leaky sum"), "where no convolution is"),
        (tiny("uneven"), "unevenly padded"),
        (tiny("no score"), "no scores"),
    ],
    ids=["not a model", "an unknown op", "a bend behind a sum", "padding on two sides", "no score"],
)
def test_a_file_that_cannot_be_narrowed_is_refused_by_name(
    file: bytes, why: str, tmp_path: Path, slim_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(file)
    assert main(["slim", "fit", str(path), str(slim_set), "--run", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().err
    assert str(path) in told
    assert why in told


@pytest.mark.filterwarnings("ignore::UserWarning")  # the quantizer keeps all tensors
def test_from_a_file_to_narrow_ones_that_say_much_the_same(tmp_path: Path, slim_set: Path) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny())
    run_folder, out = str(tmp_path / "run"), tmp_path / "out"
    small = ["--batch", "2", "--canvas-px", "64", "--keep", "0.8", "--mean", "128", "--bfloat16"]
    assert main(["slim", "fit", str(path), str(slim_set), "--run", run_folder, "--steps", "3", *small]) == 0
    size = ["--width", "64", "--height", "64"]
    assert main(["slim", "export", run_folder, str(slim_set), "--name", "narrow", "--out", str(out), *size]) == 0
    narrow = (out / "narrow-float32.tflite").read_bytes()
    assert len(narrow) < len(path.read_bytes())
    picture = batch(noise())
    assert file_says(narrow, picture).keys() == {"heat", "scale", "offset"}
    whole = Interpreter(model_path=str(out / "narrow-int8.tflite"))
    assert whole.get_input_details()[0]["dtype"] is np.int8
    assert whole.get_input_details()[0]["quantization"][1] == 0  # pixels less 128
    assert {each["dtype"] for each in whole.get_output_details()} == {np.int8}
