"""Rules of `anonymizer evaluate video`: a clip is played as the daemon would, and another tool is judged by pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import pytest
from av.video.frame import PictureType

from anonymizer.cli import main
from anonymizer.clock import Clock
from anonymizer.errors import DatasetError, InvalidOutputError, SourceEnded
from anonymizer.evaluate.video.command import Request, evaluate_video
from anonymizer.evaluate.video.rehearsal import Pace, Rehearsal, Take
from anonymizer.pipeline.assembly import make_core
from anonymizer.pipeline.camera import CameraCore
from anonymizer.pipeline.status import StatusCell
from anonymizer.ports import Detector, FrameSink, Source
from anonymizer.settings.schema import Mode, PrivacySettings, Settings, TrackSettings
from anonymizer.types import U8, Detections, Frame, Reason, Target
from tests.fakes import RecordingMeter, make_detections, make_frame
from tests.film import FPS, encode

Box = tuple[float, float, float, float]
FACE: Box = (20, 20, 40, 40)
EVERY_FRAME = Settings(track=TrackSettings(looks_per_s=120))


class FilmSource:
    """So many grey frames, 40 ms apart."""

    codec = "fake"

    def __init__(self, count: int) -> None:
        self._frames = [make_frame(seq=100 + seq, pts_ns=9_000_000_000 + seq * 40_000_000) for seq in range(count)]

    def start(self) -> None:
        pass

    def read(self) -> Frame:
        if not self._frames:
            raise SourceEnded("over")
        return self._frames.pop(0)

    def close(self) -> None:
        pass


class Scripted:
    """Finds FACE in the frames that are named, and fails in others."""

    def __init__(self, *found_in: int, fails_in: tuple[int, ...] = ()) -> None:
        self._found_in = found_in
        self._fails_in = fails_in
        self.asked: list[int] = []

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def detect(self, frame: Frame) -> Detections:
        self.asked.append(frame.seq)
        if frame.seq in self._fails_in:
            raise InvalidOutputError("NaN")
        boxes = (FACE,) if frame.seq in self._found_in else ()
        return replace(make_detections(*boxes), seq=frame.seq, camera_id=frame.camera_id, epoch=frame.epoch)


class FakeStudio:
    """Real cores, other ends faked."""

    def __init__(
        self, detector: Detector, make_source: Callable[[Path], Source], auditor: Detector | None = None
    ) -> None:
        self._detector = detector
        self._auditor = auditor or Scripted()
        self.was_strict = False
        self._make_source = make_source

    def source(self, clip: Path) -> Source:
        return self._make_source(clip)

    def detector(self, settings: Settings, target: Target, *, strict: bool) -> Detector:
        self.was_strict = strict
        return self._detector

    def auditor(self, settings: Settings) -> Detector:
        return self._auditor

    def core(
        self,
        settings: Settings,
        privacy: PrivacySettings,
        *,
        submit: Callable[[Frame], None],
        sink: FrameSink,
        clock: Clock,
    ) -> CameraCore:
        return make_core(
            "cam",
            privacy,
            settings.redact,
            settings.track,
            submit=submit,
            sinks=(sink,),
            meter=RecordingMeter(),
            clock=clock,
            status=StatusCell("cam", clock),
        )


def perform(detector: Detector, count: int = 30, pace: Pace | None = None, lookahead_ms: int = 0) -> Take:
    studio = FakeStudio(detector, lambda _clip: FilmSource(count))
    settings, privacy = EVERY_FRAME, PrivacySettings(lookahead_ms=lookahead_ms)
    return Rehearsal(
        FilmSource(count),
        detector,
        lambda submit, sink, clock: studio.core(settings, privacy, submit=submit, sink=sink, clock=clock),
        pace or Pace(),
        lambda: 0,
    ).perform()


# The rehearsal


@pytest.mark.parametrize("lookahead_ms", [0, 500])
def test_every_frame_comes_out_once_and_in_order(lookahead_ms: int) -> None:
    take = perform(Scripted(), lookahead_ms=lookahead_ms)
    assert [shown.seq for shown in take.shown] == list(range(30))
    assert take.times_ns == [seq * 40_000_000 for seq in range(30)]


def test_nothing_is_shown_of_nothing() -> None:
    assert perform(Scripted(), count=0).shown == []


def test_an_instant_detector_delays_nothing_and_the_look_ahead_delays_by_itself() -> None:
    assert {shown.delay_ns for shown in perform(Scripted()).shown} == {0}
    assert perform(Scripted(), lookahead_ms=500).shown[0].delay_ns >= 500_000_000


def test_a_slow_detector_gets_the_newest_frame_when_it_is_free() -> None:
    detector = Scripted()
    perform(detector, count=10, pace=Pace(takes_ms=100))
    assert detector.asked == [0, 2, 4, 7, 9]


def test_frames_that_nobody_looks_at_still_come_out() -> None:
    detector = Scripted(0, 5)
    take = perform(detector, count=10, pace=Pace(every=5))
    assert detector.asked == [0, 5]
    assert len(take.shown) == 10


def test_invalid_output_masks_whole_frames_as_in_the_daemon() -> None:
    take = perform(Scripted(fails_in=(4,)), count=8)
    assert take.shown[4].plan.whole_frame is Reason.INVALID_OUTPUT
    assert 4 not in take.found


def test_two_performances_are_the_same() -> None:
    first, again = (perform(Scripted(3, 4, 9, 10), lookahead_ms=500, pace=Pace(takes_ms=70)) for _ in range(2))
    assert [shown.plan for shown in first.shown] == [shown.plan for shown in again.shown]


# The command


def make_folder(folder: Path, rows: list[str], clip: str = "clip.mp4") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / clip).write_bytes(b"")
    (folder / "gt.txt").write_text("\n".join(rows))
    return folder


def face_row(frame: int, *, judged: int = 1, kind: int = 14) -> str:
    return f"{frame},1,{FACE[0] + 1},{FACE[1] + 1},20,20,{judged},{kind},1"


def measure(request: Request, detector: Detector, count: int = 20) -> str:
    return evaluate_video(request, EVERY_FRAME, FakeStudio(detector, lambda _clip: FilmSource(count)))


def figure(text: str, label: str) -> str:
    return next(line.split("|")[2].strip() for line in text.splitlines() if line.startswith(f"| {label} "))


def test_tracking_bridges_a_blink_and_look_ahead_masks_before_the_first_sighting(tmp_path: Path) -> None:
    """The face is there from frame 5 on, found in frames 10 to 12 and 15 to 19."""
    folder = make_folder(tmp_path / "a", [face_row(number + 1) for number in range(5, 20)])
    found = (10, 11, 12, *range(15, 20))
    bare = measure(Request((folder,), tracking=False), Scripted(*found))
    tracked = measure(Request((folder,), lookahead_ms=0), Scripted(*found))
    ahead = measure(Request((folder,), lookahead_ms=500), Scripted(*found))
    assert [figure(text, "longest bare") for text in (bare, tracked, ahead)] == [
        "5 frames, 200 ms",
        "5 frames, 200 ms",
        "0 frames, 0 ms",
    ]
    gaps = [figure(text, "bare in gaps up to 1 s") for text in (bare, tracked, ahead)]
    assert gaps == ["2 of 2", "0 of 2", "0 of 2"]
    assert (figure(bare, "MOTA"), figure(tracked, "id switches")) == ("-", "0")


def test_without_tracking_every_frame_is_looked_at_however_few_looks_are_set(tmp_path: Path) -> None:
    """Else the comparison would lay the frames that were passed over at the detections' door."""
    folder = make_folder(tmp_path / "a", [face_row(number + 1) for number in range(20)])
    detector = Scripted(*range(20))
    studio = FakeStudio(detector, lambda _clip: FilmSource(20))
    text = evaluate_video(Request((folder,), tracking=False), Settings(track=TrackSettings(looks_per_s=3)), studio)
    assert detector.asked == list(range(20))
    assert figure(text, "leak") == "0.00 %"


def test_the_audit_looks_every_second_and_a_half_and_in_mode_strict_masks_what_it_finds(tmp_path: Path) -> None:
    """The face is never detected; the audit sees it, in frames 0, 38 and 76, wherever it is bare."""
    folder = make_folder(tmp_path / "a", [face_row(number + 1) for number in range(80)])
    findings, leaks = [], []
    for mode in (Mode.BALANCED, Mode.STRICT):
        studio = FakeStudio(Scripted(), lambda _clip: FilmSource(80), auditor=Scripted(*range(80)))
        text = evaluate_video(Request((folder,), mode=mode), EVERY_FRAME, studio)
        assert studio.was_strict == (mode is Mode.STRICT)
        findings.append(figure(text, "audit findings"))
        leaks.append(float(figure(text, "leak").split()[0]))
    assert findings == ["3 of 3 pictures", "3 of 3 pictures"]
    assert leaks[0] == 100.0
    assert leaks[1] < 50.0


def test_persons_and_clips_without_audit_have_no_findings(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", [face_row(1, kind=1)])
    assert figure(measure(Request((folder,)), Scripted()), "audit findings") == "-"


def test_files_are_written_when_asked_for(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", [face_row(1)])
    out, picture = tmp_path / "out.json", tmp_path / "out.png"
    measure(Request((folder,), json=out, picture=picture), Scripted(0))
    assert json.loads(out.read_text())[0]["frames"] == 20
    assert cv2.imread(str(picture)) is not None
    with pytest.raises(DatasetError, match="cannot be written"):
        measure(Request((folder,), json=tmp_path / "no" / "out.json"), Scripted(0))


def test_a_clip_that_shows_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is it a video"):
        measure(Request((make_folder(tmp_path / "a", [face_row(1)]),)), Scripted(), count=0)


def test_truth_that_goes_on_after_the_clip_is_not_that_of_the_clip(tmp_path: Path) -> None:
    """Where frames were lost, all labels after them belong to others."""
    assert "20 frames" in measure(Request((make_folder(tmp_path / "a", [face_row(20)]),)), Scripted())
    with pytest.raises(DatasetError, match="labels frame 21, but 20 frames can be read"):
        measure(Request((make_folder(tmp_path / "b", [face_row(21)]),)), Scripted())


def test_requests_that_mix_clips_up_are_refused(tmp_path: Path) -> None:
    faces = make_folder(tmp_path / "a", [face_row(1)])
    persons = make_folder(tmp_path / "b", [face_row(1, kind=1)])
    for request, message in (
        (Request((faces, persons)), "separately"),
        (Request((faces, faces), truth=faces / "gt.txt"), "--truth belongs to one clip"),
        (Request((faces, faces), anonymized=faces / "clip.mp4"), "--anonymized belongs to one clip"),
    ):
        with pytest.raises(DatasetError, match=message):
            measure(request, Scripted())


# Another tool


def masked_film(path: Path, count: int, hidden: tuple[int, ...], width: int = 320) -> None:
    """The film of tests.film with a magenta box over the face in some frames, compressed again."""
    from tests.film import picture

    def drawn(index: int) -> U8:
        image = picture(index, width)
        if index in hidden:
            image[36:76, 36:76] = (255, 0, 255)
        return image

    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=FPS, options={"crf": "28"})
        stream.width, stream.height, stream.pix_fmt = width, 240, "yuv420p"
        for index in range(count):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(index), "bgr24").reformat(format="yuv420p")))
        film.mux(stream.encode(None))


def film_with_a_face(folder: Path, count: int = 6) -> Path:
    encode(folder / "clip.mp4", count)
    rows = [f"{number},1,41,41,32,32,1,14,1" for number in range(1, count + 1)]
    (folder / "gt.txt").write_text("\n".join(rows))
    return folder


def test_another_tool_s_clip_is_judged_by_its_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = film_with_a_face(tmp_path)
    out = tmp_path / "theirs.avi"
    masked_film(out, 6, hidden=(0, 1, 4, 5))
    command = ["evaluate", "video", str(folder / "clip.mp4"), "--truth", str(folder / "gt.txt")]
    assert main([*command, "--anonymized", str(out)]) == 0
    text = capsys.readouterr().out
    assert figure(text, "leak") == "33.33 %"
    assert figure(text, "longest bare") == "2 frames, 200 ms"


@pytest.mark.parametrize(("name", "longest"), [("clip.mkv", "2 frames, 2100 ms"), ("clip.h264", "2 frames, 80 ms")])
def test_another_tool_s_frames_last_as_long_as_the_clip_s(name: str, longest: str, tmp_path: Path) -> None:
    """The third picture of six, bare like the fourth, stays for two seconds; without times 25 a second are taken."""
    folder = film_with_a_face(tmp_path)
    clip = folder / name
    with av.open(str(folder / "clip.mp4")) as film, av.open(str(clip), "w") as copy:
        stream = copy.add_stream("libx264", rate=FPS, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for index, frame in enumerate(film.decode(video=0)):
            frame.pts, frame.time_base, frame.pict_type = index + 19 * (index > 2), Fraction(1, FPS), PictureType.NONE
            copy.mux(stream.encode(frame))
        copy.mux(stream.encode(None))
    out = tmp_path / "theirs.avi"
    masked_film(out, 6, hidden=(0, 1, 4, 5))
    text = measure(Request((clip,), truth=folder / "gt.txt", anonymized=out), Scripted())
    assert figure(text, "longest bare") == longest


@pytest.mark.parametrize(("count", "width"), [(5, 320), (7, 320), (6, 160)])
def test_a_clip_that_was_cut_or_resized_is_refused(count: int, width: int, tmp_path: Path) -> None:
    folder = film_with_a_face(tmp_path)
    out = tmp_path / "theirs.avi"
    masked_film(out, count, hidden=(), width=width)
    with pytest.raises(DatasetError, match="neither cut nor resized"):
        measure(Request((folder / "clip.mp4",), folder / "gt.txt", anonymized=out), Scripted())


def test_a_masked_clip_that_is_no_video_is_refused(tmp_path: Path) -> None:
    folder = film_with_a_face(tmp_path)
    with pytest.raises(DatasetError, match="no video that can be read"):
        measure(Request((folder / "clip.mp4",), folder / "gt.txt", anonymized=tmp_path / "no.mp4"), Scripted())


# The whole command, with the real model


def test_the_command_plays_a_clip_through_the_real_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = film_with_a_face(tmp_path)
    settings = tmp_path / "anonymizer.yaml"
    settings.write_text("cameras: [{id: door, url: rtsp://192.0.2.1/}]\n")
    options = ["--settings", str(settings), "--detect-every", "2", "--mode", "live"]
    assert main(["evaluate", "video", str(folder), *options]) == 0
    told = capsys.readouterr().out
    assert "live, look-ahead 0 ms" in told
    assert figure(told, "leak") != "-"
    assert main(["evaluate", "video", str(folder), "--model", "no-such"]) == 1
    assert "no-such" in capsys.readouterr().err
