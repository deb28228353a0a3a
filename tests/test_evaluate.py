"""Rules of coverage, of the trial of a detector, and of `anonymizer evaluate detect`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymizer.cli import main
from anonymizer.errors import DatasetError, InvalidOutputError
from anonymizer.evaluate.chart import draw
from anonymizer.evaluate.command import Candidate, Request, WantedDetector, evaluate
from anonymizer.evaluate.coverage import covered_share, heads, mask_of_colour, mask_of_plan, over_mask_share
from anonymizer.evaluate.dataset import Dataset
from anonymizer.evaluate.report import as_json, text_table
from anonymizer.evaluate.sample import Label, make_sample
from anonymizer.evaluate.scores import sum_up
from anonymizer.evaluate.trial import Trial, try_detector, try_pictures
from anonymizer.policy import Policy
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import DetectSettings, MaskSettings, PrivacySettings, RedactSettings, Settings
from anonymizer.types import Detections, Effect, Frame, Reason, RedactionPlan, Region, Shape, Size, Target
from tests.fakes import make_detections, make_frame, make_planes, no_detector

MAGENTA = (255, 0, 255)
BARE = RedactSettings(face=MaskSettings(shape=Shape.BOX, margin=0.0), person=MaskSettings(margin=0.0))


class ScriptedDetector:
    """Answers each frame with the next of its findings; an error is raised."""

    def __init__(self, *answers: Detections | Exception) -> None:
        self._answers = list(answers)
        self.frames: list[Frame] = []
        self.started = self.closed = False

    def start(self) -> None:
        self.started = True

    def detect(self, frame: Frame) -> Detections:
        self.frames.append(frame)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


def picture(width: int = 200, height: int = 100) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def one_picture(*labels: Label, target: Target = Target.FACE, width: int = 200, height: int = 100) -> Dataset:
    return Dataset(target, (make_sample("a.png", lambda: picture(width, height), labels),))


def run_one(
    dataset: Dataset, detector: ScriptedDetector, redact: RedactSettings = BARE, curve: ScriptedDetector | None = None
) -> Trial:
    policy = Policy(PrivacySettings(), redact)
    (trial,) = try_detector(dataset, detector, curve or ScriptedDetector(make_detections()), policy, cpu_ns=lambda: 0)
    return trial


# --- coverage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", list(Shape))
@pytest.mark.parametrize(
    "box", [(10.0, 11.0, 33.0, 37.0), (-9.0, 3.5, 7.2, 99.0), (60.0, 44.0, 90.0, 90.0), (5.0, 5.0, 5.0, 5.0)]
)
def test_a_mask_holds_exactly_the_pixels_that_the_redactor_changes(
    shape: Shape, box: tuple[float, float, float, float]
) -> None:
    frame = make_frame(planes=make_planes(64, 48))
    plan = RedactionPlan(frame.seq, (Region(box, shape, Effect.FILL, Reason.DETECTION),))
    changed = Redactor(RedactSettings()).redact(frame, plan).planes.y != frame.planes.y
    assert (mask_of_plan(plan, frame.size) == changed).all()


def test_a_plan_without_regions_masks_nothing_and_a_whole_frame_everything() -> None:
    size = Size(20, 10)
    assert not mask_of_plan(RedactionPlan(0), size).any()
    assert mask_of_plan(RedactionPlan(0, whole_frame=Reason.STALE), size).all()
    outside = Region((30, 30, 40, 40), Shape.BOX, Effect.FILL, Reason.DETECTION)
    assert not mask_of_plan(RedactionPlan(0, (outside,)), size).any()


def test_coverage_is_the_share_of_the_pixels_a_box_touches() -> None:
    mask = np.zeros((20, 20), np.bool_)
    mask[:, :10] = True
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [12, 0, 14, 4], [9.5, 0, 10.5, 1]], np.float32)
    assert covered_share(mask, boxes).tolist() == [1.0, 0.5, 0.0, 0.5]
    assert covered_share(mask, np.empty((0, 4), np.float32)).shape == (0,)


def test_over_mask_is_what_is_masked_outside_all_boxes() -> None:
    mask = np.zeros((20, 20), np.bool_)
    mask[:10] = True
    assert over_mask_share(mask, np.array([[0, 0, 10, 20]], np.float32)) == 0.25
    assert over_mask_share(mask, np.empty((0, 4), np.float32)) == 0.5


def test_a_head_is_the_top_quarter_and_the_middle_half_of_a_person() -> None:
    assert heads(np.array([[100, 40, 140, 120]], np.float32)).tolist() == [[110, 40, 130, 60]]
    assert heads(np.empty((0, 4), np.float32)).shape == (0, 4)


def test_a_colour_that_the_original_had_is_no_mask() -> None:
    original, masked = picture(4, 4), picture(4, 4)
    original[0, 0] = masked[0, 0] = MAGENTA
    masked[1, 1] = (250, 6, 251)
    masked[2, 2] = (200, 0, 255)
    assert np.argwhere(mask_of_colour(masked, original, MAGENTA, tolerance=8)).tolist() == [[1, 1]]


# --- trials -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right_edge", "bare"),
    [
        (40, False),  # all of it
        (38, False),  # 90 %
        (36, True),  # 80 %
    ],
)
def test_a_face_is_covered_from_nine_tenths_on(right_edge: float, bare: bool) -> None:
    dataset = one_picture(Label((20, 20, 20, 20), Target.FACE))
    trial = run_one(dataset, ScriptedDetector(make_detections((20, 20, right_edge, 40))))
    assert trial.bare.tolist() == [bare]
    assert trial.over_mask == 0.0


@pytest.mark.parametrize(
    ("box", "bare", "bare_head"),
    [
        ((20, 10, 60, 90), False, False),
        ((20, 26, 60, 90), False, True),  # 80 % of the box, a fifth of the head
        ((20, 10, 60, 70), True, False),  # 75 % of the box, all of the head
        ((28, 10, 60, 90), False, False),  # the head is the middle half
    ],
)
def test_a_person_is_covered_from_eight_tenths_and_a_head_from_nine(
    box: tuple[float, float, float, float], bare: bool, bare_head: bool
) -> None:
    dataset = one_picture(Label((20, 10, 40, 80), Target.PERSON), target=Target.PERSON)
    trial = run_one(dataset, ScriptedDetector(make_detections(box, target=Target.PERSON)))
    assert (trial.bare.tolist(), trial.bare_head.tolist()) == ([bare], [bare_head])


def test_margins_and_shapes_of_the_settings_count() -> None:
    dataset = one_picture(Label((20, 20, 20, 20), Target.FACE))
    found = make_detections((22, 22, 38, 38))
    assert run_one(dataset, ScriptedDetector(found)).bare.tolist() == [True]
    grown = run_one(dataset, ScriptedDetector(found), RedactSettings())
    assert grown.bare.tolist() == [False]
    assert grown.over_mask > 0


def test_weak_detections_are_for_the_curve_and_mask_nothing() -> None:
    dataset = one_picture(Label((20, 20, 20, 20), Target.FACE))
    curve = ScriptedDetector(make_detections((20, 20, 40, 40), score=0.1))
    trial = run_one(dataset, ScriptedDetector(make_detections()), curve=curve)
    assert trial.scores.tolist() == pytest.approx([0.1])
    assert trial.bare.tolist() == [True]


def test_detections_of_another_target_neither_count_nor_mask() -> None:
    dataset = one_picture(Label((20, 20, 20, 20), Target.FACE))
    found = make_detections((20, 20, 40, 40), target=Target.PERSON)
    trial = run_one(dataset, ScriptedDetector(found), curve=ScriptedDetector(found))
    assert len(trial.found) == 0
    assert trial.bare.tolist() == [True]


def test_invalid_output_masks_the_whole_frame_as_the_daemon_does() -> None:
    dataset = one_picture(Label((20, 20, 20, 20), Target.FACE))
    broken = InvalidOutputError("NaN")
    trial = run_one(dataset, ScriptedDetector(broken), curve=ScriptedDetector(broken))
    assert len(trial.found) == 0
    assert trial.bare.tolist() == [False]
    assert trial.over_mask == pytest.approx(1 - 400 / 20000)


def test_an_odd_last_row_and_column_goes_and_boxes_are_cut_at_the_edge() -> None:
    labels = (Label((190, 90, 50, 50), Target.FACE), Label((200, 0, 1, 99), Target.FACE))
    detector = ScriptedDetector(make_detections())
    trial = run_one(one_picture(*labels, width=201, height=101), detector)
    assert detector.frames[0].size == Size(200, 100)
    assert trial.boxes.tolist() == [[190, 90, 200, 100]]


def test_pictures_keep_their_colours_on_the_planes() -> None:
    blue = np.zeros((10, 10, 3), np.uint8)
    blue[..., 0] = 255
    detector = ScriptedDetector(make_detections())
    run_one(Dataset(Target.FACE, (make_sample("a", lambda: blue, []),)), detector)
    planes = detector.frames[0].planes
    assert [int(plane[0, 0]) for plane in (planes.y, planes.u, planes.v)] == pytest.approx([41, 240, 110], abs=1)
    assert detector.frames[0].colour.bt709 is detector.frames[0].colour.full_range is False


def test_only_the_detector_is_timed() -> None:
    ticks = iter([1000, 5000])
    dataset = one_picture(Label((20, 20, 20, 20), Target.FACE))
    detectors = ScriptedDetector(make_detections()), ScriptedDetector(make_detections())
    (trial,) = try_detector(dataset, *detectors, Policy(PrivacySettings(), BARE), cpu_ns=lambda: next(ticks))
    assert trial.cpu_ns == 4000


def test_a_picture_of_one_pixel_is_an_error() -> None:
    with pytest.raises(DatasetError, match="1x9 is too small"):
        run_one(one_picture(width=1, height=9), ScriptedDetector())


# --- another tool's pictures ------------------------------------------------------------------------------------


def test_another_tool_is_measured_by_its_pixels(tmp_path: Path) -> None:
    masked = picture()
    masked[20:40, 20:40] = MAGENTA
    cv2.imwrite(str(tmp_path / "a.bmp"), masked)
    labels = (Label((22, 22, 16, 16), Target.FACE), Label((100, 50, 20, 20), Target.FACE))
    (trial,) = try_pictures(one_picture(*labels), tmp_path, MAGENTA)
    assert trial.bare.tolist() == [False, True]
    assert trial.over_mask == pytest.approx((400 - 256) / 20000)


def test_a_missing_or_resized_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.png: is missing"):
        list(try_pictures(one_picture(), tmp_path, MAGENTA))
    cv2.imwrite(str(tmp_path / "a.png"), picture(20, 10))
    with pytest.raises(DatasetError, match="another size"):
        list(try_pictures(one_picture(), tmp_path, MAGENTA))


# --- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two pictures: one with a face at 20, 20, 20x20 and an ignored one; one without."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    boxes = [{"xywh": [20, 20, 20, 20], "ignore": False}, {"xywh": [90, 20, 20, 20], "ignore": True}]
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / "images" / name), picture())
    (folder / "faces.json").write_text(json.dumps([{"file": "a.png", "boxes": boxes}, {"file": "b.png", "boxes": []}]))
    return folder


def own_threshold(model: str) -> float:
    return {"one": 0.3, "two": 0.6}.get(model, 0.2)


def test_every_model_gets_a_row_and_every_file_is_written(faces: Path, tmp_path: Path) -> None:
    made: list[WantedDetector] = []
    detectors: list[ScriptedDetector] = []

    def make(wanted: WantedDetector) -> ScriptedDetector:
        made.append(wanted)
        detectors.append(ScriptedDetector(make_detections((20, 20, 40, 40)), make_detections(seq=1)))
        return detectors[-1]

    candidates = (Candidate("one"), Candidate("two", 16))
    request = Request(faces, candidates=candidates, json=tmp_path / "out.json", picture=tmp_path / "out.png")
    table = evaluate(request, Settings(), make, own_threshold)
    assert "2 pictures, 1 faces" in table
    assert all(f"| {name} " in table for name in ("one", "two@16"))
    assert made == [
        WantedDetector(candidate, Target.FACE, threshold, limit, is_flat=is_flat)
        for candidate, own in zip(candidates, (0.3, 0.6), strict=True)
        for threshold, limit, is_flat in ((own, 1000, False), (0.05, 5000, True))
    ]
    assert all(detector.started and detector.closed for detector in detectors)
    first, second = json.loads((tmp_path / "out.json").read_text())
    assert first["compared"] is None
    assert (second["compared"]["with"], second["compared"]["resamples"]) == ("one", 1000)
    same = {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert second["compared"]["overall"] == {"height_px": "10+", "ap50": same, "leak": same}
    assert second["compared"]["by_height_px"][0] == {"height_px": "10-16", "ap50": None, "leak": None}
    assert (first["name"], first["target"], first["threshold"], first["pictures"]) == ("one", "face", 0.3, 2)
    assert first["overall"] == {
        "height_px": "10+",
        "truths": 1,
        "ap50": 1.0,
        "recall": 1.0,
        "leak": 0.0,
        "head_leak": None,
    }
    assert [each["truths"] for each in first["by_height_px"]] == [0, 1, 0, 0]
    assert len(first["curve"]["recall"]) == len(first["curve"]["precision"]) == 101
    assert cv2.imread(str(tmp_path / "out.png")) is not None


def test_without_a_model_that_of_the_settings_is_measured(faces: Path) -> None:
    made: list[WantedDetector] = []

    def make(wanted: WantedDetector) -> ScriptedDetector:
        made.append(wanted)
        return ScriptedDetector(make_detections(), make_detections(seq=1))

    settings = Settings(detect=DetectSettings(face_model="x", reach_px=20))
    evaluate(Request(faces, threshold=0.01), settings, make, own_threshold)
    assert [(wanted.candidate, wanted.threshold) for wanted in made] == [(Candidate("x", 20), 0.01)] * 2


def test_the_settings_threshold_goes_before_the_models_own(faces: Path) -> None:
    made: list[WantedDetector] = []

    def make(wanted: WantedDetector) -> ScriptedDetector:
        made.append(wanted)
        return ScriptedDetector(make_detections(), make_detections(seq=1))

    settings = Settings(detect=DetectSettings(face_model="one", face_threshold=0.45))
    evaluate(Request(faces), settings, make, own_threshold)
    assert [wanted.threshold for wanted in made] == [0.45, 0.05]


def test_another_tool_alone_needs_no_model(faces: Path, tmp_path: Path) -> None:
    request = Request(faces, anonymized=faces / "images", picture=tmp_path / "x.png")
    table = evaluate(request, Settings(), no_detector, own_threshold)
    assert "| images | " in table
    assert "100.0" in table


def test_the_target_is_masked_even_if_the_settings_leave_it_out(faces: Path) -> None:
    settings = Settings(privacy=PrivacySettings(targets=("person",)))
    found = (make_detections((20, 20, 40, 40)), make_detections(seq=1))
    table = evaluate(Request(faces), settings, lambda _: ScriptedDetector(*found), own_threshold)
    assert table.splitlines()[-1].count("100.0") == 4  # average precision and recall, over all and of 16-32 px


def test_a_file_that_cannot_be_written_is_an_error(faces: Path, tmp_path: Path) -> None:
    request = Request(faces, anonymized=faces / "images", json=tmp_path / "no" / "x.json")
    with pytest.raises(DatasetError, match="cannot be written"):
        evaluate(request, Settings(), no_detector, own_threshold)


def test_no_pictures_make_an_empty_table_and_an_empty_chart() -> None:
    scores = sum_up("none", Target.PERSON, [], 0.3)
    assert text_table([scores]).splitlines()[-1].split() == ["|", "none", "|", "0.3", *["|", "-"] * 6, "|"]
    assert json.loads(as_json([scores], []))[0]["over_mask"] is None
    assert draw([scores], []).shape[2] == draw([], []).shape[2] == 3
    assert text_table([]) == ""
    assert as_json([], []) == "[]\n"


def test_the_command_measures_a_committed_model_whole_and_tiled(
    faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--model", "centerface-float32", "--model", "centerface-float32@16"]
    assert main(["evaluate", "detect", str(faces), "--limit", "1", *models]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 pictures, 1 faces")
    assert lines[4].startswith("| centerface-float32    | 0.15 |")
    assert lines[5].startswith("| centerface-float32@16 | 0.15 |")
    assert lines[-1].startswith("| centerface-float32@16, leak |")


def test_persons_are_not_searched_in_tiles(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--target", "person", "--model", "nanodet-g-int8@16"]
    assert main(["evaluate", "detect", str(faces), *model]) == 1
    assert "only faces are searched in tiles" in capsys.readouterr().err


def test_a_model_that_finds_something_else_is_refused(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "detect", str(faces), "--model", "nanodet-g-int8"]) == 1
    assert "does not find what the labels show" in capsys.readouterr().err


def test_a_missing_data_set_ends_with_1_and_the_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "detect", str(tmp_path / "none.json")]) == 1
    assert "none.json: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        ["--threshold", "1.5"],
        ["--limit", "0"],
        ["--resamples", "0"],
        ["--fill", "1,2"],
        ["--fill", "1,2,300"],
        ["--target", "car"],
        ["--model", "x@0"],
    ],
)
def test_impossible_options_end_with_2(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "detect", "x", *option])
    assert stop.value.code == 2
    assert option[0] in capsys.readouterr().err
