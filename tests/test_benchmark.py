"""The benchmark: what follows from measured costs, how it is written down, and that it measures at all."""

from __future__ import annotations

import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from anonymizer.benchmark.models import CannotRun, time_models, time_tiles
from anonymizer.benchmark.recommend import HEADROOM, Advice, DetectCost, Device, Plan, Wish, recommend, siblings
from anonymizer.benchmark.report import Report
from anonymizer.benchmark.run import benchmark
from anonymizer.benchmark.snippet import snippet, with_plan, write_plan
from anonymizer.benchmark.stages import StageCosts
from anonymizer.cli import main
from anonymizer.errors import SettingsError
from anonymizer.pipeline.tempo import Patience
from anonymizer.settings.load import load_settings
from anonymizer.settings.schema import DetectSettings, Preset, Settings
from anonymizer.types import Size, Target
from anonymizer.zoo import Zoo
from tests.fakes import make_frame, make_planes

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "config" / "anonymizer.yaml"


def cost(name: str, target: Target, wall_ms: float, *, threads: int = 1, cpu_ms: float | None = None) -> DetectCost:
    return DetectCost(name, target, name.rpartition("-")[2], threads, wall_ms, wall_ms if cpu_ms is None else cpu_ms)


def device(*models: DetectCost, cores: int = 4, frame_ms: float = 5.0) -> Device:
    encode_ms = {Preset.VERYFAST: 24.0, Preset.SUPERFAST: 14.0, Preset.ULTRAFAST: 10.0}
    return Device(
        cores, models or (cost("f-int8", Target.FACE, 20.0), cost("p-int8", Target.PERSON, 10.0)), frame_ms, encode_ms
    )


WISH = Wish(cameras=1, size=Size(1920, 1080), fps=15.0, patience=Patience(held_ms=680.0, max_age_ms=400.0))
TILED = (DetectCost("f-int8", Target.FACE, "int8", 1, 180.0, 190.0, tiles=8, reach_px=24),)
PLAN = Plan("f-int8", "p-int8", 2, 12.0, Preset.ULTRAFAST, detections_per_s=12.0, wait_ms=60.0, cores=1.5)


# --- recommendation ---------------------------------------------------------------------------------------------


def test_an_idle_device_gets_the_full_rate_and_the_smallest_stream() -> None:
    advice = recommend(device(), WISH)
    assert advice.cameras == 1
    assert advice.plan is not None
    assert advice.plan.cores == pytest.approx((15 * (5 + 24) + 7 * 30) / 1000)
    assert advice.plan == Plan(
        "f-int8",
        "p-int8",
        threads=1,
        fps=15.0,
        preset=Preset.VERYFAST,
        detections_per_s=7.0,
        wait_ms=30.0,
        cores=advice.plan.cores,
    )


def test_the_faster_precision_wins_whichever_it_is() -> None:
    person = cost("p-int8", Target.PERSON, 10.0)
    for fast, slow in (("f-int8", "f-float32"), ("f-float32", "f-int8")):
        costs = (cost(slow, Target.FACE, 90.0), cost(fast, Target.FACE, 30.0), person)
        plan = recommend(device(*costs), WISH).plan
        assert plan is not None
        assert plan.face_model == fast


def test_faces_as_small_as_the_device_can_find_in_time_are_looked_for() -> None:
    """Tiles are taken as long as enough looks are left, and never so many that pictures would be left out."""
    whole = cost("f-int8", Target.FACE, 20.0)
    tiled = [
        replace(whole, wall_ms=wall_ms, cpu_ms=wall_ms, tiles=round(wall_ms / 20) - 1, reach_px=reach_px)
        for wall_ms, reach_px in ((40.0, 32), (140.0, 24), (400.0, 16), (600.0, 12))
    ]
    models = (replace(whole, reach_px=48), *tiled, cost("p-int8", Target.PERSON, 10.0))
    one, two = (recommend(device(*models, cores=8), replace(WISH, cameras=cameras)).plan for cameras in (1, 2))
    assert one is not None
    assert two is not None
    assert (one.reach_px, one.tiles, one.fps) == (24, 6, 15.0)
    assert (two.reach_px, two.tiles, two.fps) == (24, 6, 15.0)
    assert yaml.safe_load(snippet(one))["detect"]["reach_px"] == 24
    three = recommend(device(*models, cores=8), replace(WISH, cameras=3)).plan
    assert three is not None
    assert (three.reach_px, three.tiles) == (32, 1)
    alone = recommend(device(*models, cores=1, frame_ms=36.0), WISH).plan
    assert alone is not None
    assert (alone.reach_px, alone.tiles) == (48, 0)
    assert yaml.safe_load(snippet(alone))["detect"]["reach_px"] is None


def test_a_person_model_sees_as_finely_as_the_device_can_in_time() -> None:
    face, coarse = cost("f-int8", Target.FACE, 20.0), replace(cost("p-int8", Target.PERSON, 10.0), input_px=480 * 320)
    for wall_ms, chosen in ((60.0, "p-640-int8"), (600.0, "p-int8")):
        fine = replace(cost("p-640-int8", Target.PERSON, wall_ms), input_px=640 * 384)
        plan = recommend(device(face, coarse, fine), WISH).plan
        assert plan is not None
        assert plan.person_model == chosen


def test_plans_of_tiles_are_measured_while_there_is_time() -> None:
    frame, settings = make_frame(planes=make_planes(640, 384)), DetectSettings()
    whole = DetectCost("centerface-int8", Target.FACE, "int8", 1, 50.0, 50.0)
    blind = DetectCost("blazeface-full-range", Target.FACE, "float32", 1, 5.0, 5.0)
    (found,) = time_tiles(settings, frame, [whole, blind], budget_s=2 * 0.4)
    assert (found.model, found.reach_px) == ("centerface-int8", 12)
    assert found.tiles >= 4
    assert found.cpu_ms > 0
    assert list(time_tiles(settings, frame, [whole], budget_s=0.01)) == []


def test_threads_are_added_only_where_one_is_too_slow() -> None:
    def models(wall_ms: float) -> tuple[DetectCost, ...]:
        return (
            cost("f-int8", Target.FACE, wall_ms),
            cost("p-int8", Target.PERSON, 10.0),
            cost("f-int8", Target.FACE, wall_ms / 2, threads=2, cpu_ms=wall_ms * 1.2),
            cost("p-int8", Target.PERSON, 6.0, threads=2, cpu_ms=12.0),
        )

    quick, slow = (recommend(device(*models(wall_ms)), WISH).plan for wall_ms in (30.0, 300.0))
    assert quick is not None
    assert slow is not None
    assert (quick.threads, slow.threads) == (1, 2)


def test_face_and_person_model_share_one_number_of_threads() -> None:
    models = (cost("f-int8", Target.FACE, 20.0), cost("p-int8", Target.PERSON, 10.0, threads=2))
    assert recommend(device(*models), WISH).plan is None


def test_a_tight_device_saves_first_bytes_then_looks_then_pictures_then_cameras() -> None:
    found = [recommend(device(cores=2, frame_ms=frame_ms), WISH) for frame_ms in (5.0, 80.0, 84.0, 102.0, 150.0)]
    plans = [advice.plan for advice in found if advice.plan is not None]
    assert [(plan.fps, plan.looks_per_s, plan.preset) for plan in plans[:4]] == [
        (15.0, None, Preset.VERYFAST),
        (15.0, None, Preset.ULTRAFAST),
        (15.0, 6, Preset.ULTRAFAST),
        (12.0, None, Preset.ULTRAFAST),
    ]
    assert all(plan.fps < 12 for plan in plans[4:])
    two = recommend(device(cores=1, frame_ms=60.0), replace(WISH, cameras=2))
    assert two.cameras == 1


def test_no_plan_is_busier_than_the_headroom_allows() -> None:
    for cameras in range(1, 9):
        advice = recommend(device(), replace(WISH, cameras=cameras))
        assert advice.plan is not None
        assert advice.plan.cores <= 4 * HEADROOM


def test_cameras_whose_looks_would_lie_too_far_apart_are_not_promised() -> None:
    """With 30 ms a round, the looks at twelve cameras are 360 ms apart, which is the most that is allowed."""
    assert recommend(device(cores=64), replace(WISH, cameras=12, fps=30.0)).cameras == 12
    assert recommend(device(cores=64), replace(WISH, cameras=20, fps=30.0)).cameras == 12
    live = Patience(held_ms=180.0, max_age_ms=400.0)
    assert recommend(device(cores=64), replace(WISH, cameras=20, fps=30.0, patience=live)).cameras == 6


@pytest.mark.parametrize(
    ("hopeless", "obstacle"),
    [
        (device(cores=1, frame_ms=500.0), "it is too busy with one camera at 5 pictures a second"),
        (
            device(cost("f-int8", Target.FACE, 400.0), cost("p-int8", Target.PERSON, 50.0)),
            "its models take 450 ms a picture, and these settings allow 360",
        ),
        (device(cost("f-int8", Target.FACE, 20.0)), "no face model and person model run here"),
    ],
)
def test_a_hopeless_device_is_told_so_and_why(hopeless: Device, obstacle: str) -> None:
    advice = recommend(hopeless, WISH)
    assert (advice.cameras, advice.plan) == (0, None)
    assert advice.obstacle.startswith(obstacle)


def test_siblings_are_the_same_model_in_other_widths_precisions_and_sizes() -> None:
    names = (
        "centerface-960-int8",
        "centerface-slim-960-int8",
        "centerface-float32",
        "centerface-int8",
        "centerface-keen-960-int8",
        "yunet-int8",
        "blazeface-full-range",
        "320",
        "slim",
    )
    costs = [cost(name, Target.FACE, 1.0) for name in names]
    for name in names[:4]:
        assert [each.model for each in siblings(name, costs)] == list(names[:4])
    for name in names[4:]:
        assert [each.model for each in siblings(name, costs)] == [name]


def test_a_device_too_slow_for_large_pictures_gets_the_model_for_small_ones() -> None:
    person = cost("p-int8", Target.PERSON, 20.0)
    for ms, expected in ((150.0, "f-960-int8"), (165.0, "f-int8")):  # three looks a second, and fewer
        large = replace(cost("f-960-int8", Target.FACE, 2 * ms), reach_px=32)
        small = replace(cost("f-int8", Target.FACE, ms), reach_px=48)
        plan = recommend(device(large, small, person), WISH).plan
        assert plan is not None
        assert plan.face_model == expected


# --- text -------------------------------------------------------------------------------------------------------


def report(wish: Wish, advice: Advice) -> str:
    models = (cost("f-int8", Target.FACE, 20.0), cost("f-int8", Target.FACE, 12.0, threads=2), CannotRun("x", "broken"))
    stages = {Preset.ULTRAFAST: StageCosts(45, 2.0, {"capture": 5.5, "encode": 10.0})}
    return str(Report(4, "litert", "libx264", models, TILED, stages, wish, advice))


def test_the_report_says_plainly_what_the_device_can_do() -> None:
    met = report(replace(WISH, fps=12.0), Advice(1, PLAN))
    assert "This device can do 1 camera of 1920x1080 at 12 pictures a second." in met
    assert "1.5 of 4 cores busy, each camera searched 12.0 times a second, answers within 60 ms" in met
    fewer = report(replace(WISH, cameras=3), Advice(2, PLAN))
    assert "cannot do 3 cameras of 1920x1080 at 15 pictures a second. It can do 2 cameras at 12 pictures" in fewer
    hopeless = report(WISH, Advice(0, None, "it is too busy"))
    assert "cannot do 1 camera of 1920x1080 at 15 pictures a second: it is too busy, or take a faster" in hopeless


def test_the_report_has_a_row_a_model_and_names_those_that_do_not_run() -> None:
    lines = report(WISH, Advice(1, PLAN)).splitlines()
    assert any(line.split() == ["f-int8", "int8", "20.0", "12.0"] for line in lines)
    assert any(line.split(maxsplit=1) == ["x", "cannot run: broken"] for line in lines)
    assert any(line.split() == ["f-int8", "1", "24", "px", "9", "180.0", "190.0"] for line in lines)
    assert any(line.split() == ["encode,", "preset", "ultrafast", "10.00"] for line in lines)


# --- YAML -------------------------------------------------------------------------------------------------------


def test_the_snippet_is_valid_yaml() -> None:
    assert yaml.safe_load(snippet(PLAN)) == {
        "detect": {"face_model": "f-int8", "person_model": "p-int8", "threads": 2, "reach_px": None},
        "track": {"looks_per_s": None},
        "encode": {"preset": "ultrafast"},
    }
    assert yaml.safe_load(snippet(replace(PLAN, looks_per_s=8)))["track"] == {"looks_per_s": 8}


def test_only_the_keys_of_the_plan_change_in_the_shipped_file_and_every_comment_stays() -> None:
    before, after = SHIPPED.read_text().splitlines(), with_plan(SHIPPED.read_text(), PLAN).splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.split(":")[0].strip() for _, new in changed] == [
        "max_fps",
        "face_model",
        "person_model",
        "threads",
        "reach_px",
        "looks_per_s",
        "preset",
    ]
    assert all(old.partition("#")[2] == new.partition("#")[2] for old, new in changed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log:\n  level: debug # loud", "log:\n  level: debug # loud\n\ndetect:\n"),  # sections are added at the end
        ("detect: # mine\nlog:\n", "detect:\n  face_model: f-int8\n"),  # a section without keys
        ("detect:\n  # first\n  nms_iou: 0.5 # mine\n", "  nms_iou: 0.5 # mine\n"),  # a section with other keys
        ("detect: {nms_iou: 0.5} # mine\n", "nms_iou: 0.5} # mine\n"),  # in braces
        ("cameras:\n- id: a # door\n  url: rtsp://x\n- id: b\n", "max_fps: 12\n  id: a # door\n"),  # list not indented
        ("cameras:\n  - {id: a, url: '${URL}'}\n", "- {max_fps: 12, id: a, url: '${URL}'}\n"),
        ("cameras:\n  - id: a\n    max_fps: 25 # no more\n", "    max_fps: 12 # no more\n"),
        ("cameras:\n  - id: a\n    max_fps: # all\n", "    max_fps: 12 # all\n"),
        ("cameras:\n  - &a {id: a}\n  - *a\n", "  - &a {max_fps: 12, id: a}\n  - *a\n"),
        ("encode:\r\n  preset: fast\r\n", "  preset: ultrafast\r\n"),  # Windows line ends
    ],
)
def test_hand_written_files_keep_their_form(text: str, expected: str) -> None:
    changed = with_plan(text, PLAN)
    assert expected in changed
    content = yaml.safe_load(changed)
    assert content["detect"] | {"threads": 2, "face_model": "f-int8"} == content["detect"]
    assert content["encode"]["preset"] == "ultrafast"
    assert all(camera["max_fps"] == 12 for camera in content.get("cameras", []))


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "{detect: {}}", "detect: [", "detect: nothing\n"],
)
def test_a_file_that_cannot_be_changed_safely_is_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="cannot be changed safely"):
        write_plan(path, PLAN)
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_keeps_its_mode_and_a_new_one_holds_the_snippet(tmp_path: Path) -> None:
    path, new = tmp_path / "a.yaml", tmp_path / "new.yaml"
    path.write_text("log:\n  level: debug\n")
    path.chmod(0o640)
    write_plan(path, PLAN)
    write_plan(new, PLAN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert new.read_text() == snippet(PLAN)
    with pytest.raises(SettingsError, match="cannot be written"):
        write_plan(tmp_path / "no" / "folder.yaml", PLAN)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_lines_of_a_file_end_as_they_did(end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(end.join([b"log:", b"  level: debug", b"encode:", b"  preset: fast", b""]))
    write_plan(path, PLAN)
    changed = path.read_bytes()
    assert b"  preset: ultrafast" + end in changed
    assert changed.count(b"\n") == changed.count(end) == len(changed.splitlines())
    assert (b"\r" in changed) == (end == b"\r\n")


# --- measuring --------------------------------------------------------------------------------------------------


def test_a_whole_benchmark_of_small_pictures_ends_in_a_plan_or_a_plain_no() -> None:
    wish = replace(WISH, size=Size(320, 240))
    made = benchmark(Settings(), wish, models_budget_s=0.0, tiles_budget_s=0.0, frames=6)
    assert {each.model for each in made.models} == set(Zoo().detectors.names())
    assert {"centerface-int8", "nanodet-g-int8"} <= {c.model for c in made.models if isinstance(c, DetectCost)}
    assert all(each.wall_ms > 0 for each in made.models if isinstance(each, DetectCost))
    for costs in made.stages.values():
        assert costs.frames == 6
        assert {"capture", "letterbox", "track, policy, redact", "encode"} <= costs.cpu_ms.keys()
        assert costs.regions >= 1
    assert "of 320x240 at 15 pictures a second" in str(made)


def test_a_model_that_does_not_run_here_does_not_end_the_benchmark(tmp_path: Path) -> None:
    names = ("centerface-int8", "nanodet-g-int8")
    manifest = yaml.safe_load((ROOT / "models" / "manifest.yaml").read_text())
    manifest["models"] = [model for model in manifest["models"] if model["name"] in names]
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    whole, broken = (Zoo(tmp_path).detectors.spec(name).path for name in names)
    shutil.copy(Zoo().detectors.spec(names[0]).path, whole)
    broken.write_bytes(b"no model")
    frame = make_frame(planes=make_planes(320, 240))
    rows = list(time_models(DetectSettings(models_dir=tmp_path), frame, thread_counts=[1], budget_s=0.0))
    assert {(DetectCost, names[0]), (CannotRun, names[1])} <= {(type(row), row.model) for row in rows}


# --- command line -----------------------------------------------------------------------------------------------


def answer(monkeypatch: pytest.MonkeyPatch, cameras: int, plan: Plan | None) -> list[Wish]:
    """Replace the measuring."""
    wishes: list[Wish] = []

    def measured(_settings: Settings, wish: Wish) -> Report:
        wishes.append(wish)
        stages = {Preset.ULTRAFAST: StageCosts(45, 2.0, {"encode": 10.0})}
        return Report(4, "litert", "libx264", (), (), stages, wish, Advice(cameras, plan))

    monkeypatch.setattr("anonymizer.benchmark.run.benchmark", measured)
    return wishes


def test_the_cameras_of_the_file_are_planned_for_and_the_plan_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("cameras: # mine\n  - {id: a, url: 'demo://'}\n  - {id: b, url: 'demo://'}\n")
    plan = replace(PLAN, face_model="centerface-int8", person_model="nanodet-g-int8")
    (wishes) = answer(monkeypatch, 2, plan)
    assert main(["benchmark", "--size", "640x480", "--fps", "12", "--write", str(path)]) == 0
    assert wishes == [Wish(2, Size(640, 480), 12.0, Patience(held_ms=680, max_age_ms=400))]
    settings = load_settings(path)
    assert [camera.max_fps for camera in settings.cameras] == [12.0, 12.0]
    assert settings.encode.preset is Preset.ULTRAFAST
    assert f"written to {path}" in capsys.readouterr().out


@pytest.mark.parametrize(("cameras", "plan"), [(0, None), (1, PLAN)])
def test_a_device_that_cannot_do_it_ends_with_1_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cameras: int, plan: Plan | None
) -> None:
    answer(monkeypatch, cameras, plan)
    path = tmp_path / "new.yaml"
    assert main(["benchmark", "--cameras", "2", "--write", str(path)]) == 1
    assert not path.exists()


def test_no_cameras_at_all_are_not_taken_for_as_many_as_the_file_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--cameras", "0"]) == 2
    assert "--cameras must be 1 to 64" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--size", "big"], ["--size", "641x480"], ["--size", "8x8"]])
def test_a_size_that_no_camera_has_is_a_wrong_command_line(options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["benchmark", *options])
    assert ended.value.code == 2


@pytest.mark.parametrize("options", [["--cameras", "65"], ["--cameras", "-1"], ["--fps", "0"], ["--write", 300 * "x"]])
def test_numbers_out_of_range_and_settings_that_cannot_be_looked_for_are_refused(options: list[str]) -> None:
    assert main(["benchmark", *options]) == 2
