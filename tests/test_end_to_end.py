"""The daemon with a real camera in front and real clients behind."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from anonymizer.clock import SystemClock
from anonymizer.demo.pedestrians import pedestrian_clip
from anonymizer.detectors import make_detector
from anonymizer.errors import SourceError
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.types import F32, U8, Target
from tests.daemon import RunningDaemon, eventually
from tests.fakes import RecordingMeter, make_frame, to_planes
from tests.numbered_clip import BLOCK_PX, read_number, write_numbered
from tests.pictures import likeness
from tests.rtsp_camera import RtspCamera

pytestmark = pytest.mark.e2e

FRAMES = 150
SECONDS = 8
QUICK = {"face_model": "centerface-int8", "person_model": "nanodet-g-int8"}  # two cores are busy with tests as well
BELOW = [[0, 0.08], [1, 0.08], [1, 1], [0, 1]]  # the drawn number: models take its blocks for somebody small
NEAR = 10  # frames: a track may mask for a second after the person was last seen


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The street clip with frame numbers in its corner."""
    try:
        source = pedestrian_clip()
    except SourceError as error:
        pytest.skip(f"the street clip could not be fetched: {error}")
    numbered = tmp_path_factory.mktemp("clip") / "numbered.mp4"
    write_numbered(source, numbered, FRAMES)
    return numbered


@pytest.fixture(scope="module")
def pictures(clip: Path) -> list[U8]:
    """All frames of the clip as I420, (H * 3 / 2, W)."""
    with av.open(str(clip)) as container:
        return [i420_of(frame) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def people(pictures: list[U8]) -> list[F32]:
    """Boxes of persons, (N, 4), and their scores in column 5, that the detector finds in each frame by itself."""
    found = []
    detector = make_detector(
        DetectSettings.model_validate(QUICK),
        frozenset({TargetName.PERSON}),
        clock=SystemClock(),
        meter=RecordingMeter(),
    )
    with detector:
        for seq, picture in enumerate(pictures):
            detections = detector.detect(make_frame(seq, planes=to_planes(picture)))
            assert set(detections.class_ids) <= {Target.PERSON}
            found.append(np.hstack([detections.boxes, detections.scores[:, None]]))
    return found


@pytest.fixture(scope="module")
def street(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon that is connected to a camera playing the clip."""
    with (
        RtspCamera(clip) as camera,
        RunningDaemon(
            tmp_path_factory.mktemp("daemon"),
            [{"id": "street", "url": camera.url}],
            detect=QUICK,
            privacy={"areas": [BELOW]},
        ) as daemon,
    ):
        eventually("regional masks", lambda: daemon.camera("street")["state"] == "live", 30)
        yield daemon


def record(url: str, transport: str, out: Path) -> list[U8]:
    """What ffmpeg reads from the mount in a few seconds, as I420 frames."""
    command = ["ffmpeg", "-v", "error", "-rtsp_transport", transport, "-i", url, "-t", str(SECONDS), "-c", "copy"]
    subprocess.run([*command, str(out)], check=True, timeout=60, stdin=subprocess.DEVNULL)
    with av.open(str(out)) as container:
        return [i420_of(frame) for frame in container.decode(video=0)]


def i420_of(frame: av.VideoFrame) -> U8:
    return np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)


def background(people: list[F32], number: int, shape: tuple[int, int]) -> U8:
    """1 where nobody was found within a second of this frame, with a wide margin, and no number is drawn."""
    free = np.ones(shape, np.uint8)
    free[: BLOCK_PX * 2] = 0
    for near in range(number - NEAR, number + NEAR + 1):  # the camera plays the clip in a loop
        for x1, y1, x2, y2, _ in people[near % FRAMES]:
            dx, dy = (x2 - x1) * 0.6, (y2 - y1) * 0.4
            cv2.rectangle(free, (int(x1 - dx), int(y1 - dy)), (int(x2 + dx), int(y2 + dy)), 0, -1)
    return free


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_persons_are_unrecognisable_and_the_background_is_untouched_in_what_a_client_reads(
    street: RunningDaemon, pictures: list[U8], people: list[F32], transport: str, tmp_path: Path
) -> None:
    output = record(street.url("street"), transport, tmp_path / "out.mkv")
    height = pictures[0].shape[0] * 2 // 3
    good = sampled = regions = 0
    for picture in output:
        luma = picture[:height]
        number = read_number(luma)
        if number is None or number >= FRAMES:
            continue
        original = pictures[number][:height]
        sampled += 1
        hidden = True
        for x1, y1, x2, y2 in people[number][people[number][:, 4] > 0.5, :4].astype(int):
            before, after = original[y1:y2, x1:x2], luma[y1:y2, x1:x2]
            regions += 1
            hidden &= likeness(before, after) < 0.3 and float(cv2.absdiff(before, after).mean()) > 10
        free = background(people, number, original.shape) == 1
        # Masks of the recently seen may cover some of it, in black: three quarters must be as they were.
        same = float(np.quantile(cv2.absdiff(original, luma)[free], 0.75)) < 8 if free.any() else True
        good += hidden and same
    assert sampled >= 0.7 * len(output) > 5 * SECONDS
    assert regions > sampled
    assert good >= 0.95 * sampled, f"{good} of {sampled} frames"


def test_the_metrics_tell_the_same_story(street: RunningDaemon) -> None:
    published = {"camera": "street", "stage": "publish", "outcome": "ok"}
    eventually("frames", lambda: street.metric("anonymizer_frames_total", **published) > 20, 10)
    assert street.metric("anonymizer_detections_total", camera="street", target="person") > 20
    assert street.get("/healthz")[0] == 200
    assert street.get("/readyz")[0] == 200
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("the rest needs promtool: apt-get install prometheus")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=street.get("/metrics")[1],
        capture_output=True,
        timeout=30,
    )
    assert checked.returncode == 0, checked.stderr.decode()


def test_the_snapshot_is_a_redacted_picture(street: RunningDaemon) -> None:
    status, jpeg = street.get("/cameras/street/snapshot.jpg")
    assert status == 200
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (576, 768, 3)


def test_a_killed_camera_is_back_within_ten_seconds_of_its_return_and_viewers_see_a_placeholder_meanwhile(
    tmp_path: Path,
) -> None:
    with RtspCamera() as camera, RunningDaemon(tmp_path, [{"id": "cam", "url": camera.url}]) as daemon:
        eventually("streaming", lambda: daemon.camera("cam")["fps_in"] > 5, 20)
        camera.kill()
        eventually("noticed", lambda: daemon.camera("cam")["state"] in ("away", "connecting"), 5)
        eventually("placeholder", lambda: daemon.camera("cam")["whole_frame"] == "no_signal", 5)
        assert daemon.get("/healthz")[0] == 200
        camera.restart()
        eventually("back", lambda: daemon.camera("cam")["state"] in ("live", "masked"), 10)


def test_a_frozen_camera_is_noticed_within_five_seconds(tmp_path: Path) -> None:
    with RtspCamera() as camera, RunningDaemon(tmp_path, [{"id": "cam", "url": camera.url}]) as daemon:
        eventually("streaming", lambda: daemon.camera("cam")["fps_in"] > 5, 20)
        camera.freeze()
        try:
            eventually("noticed", lambda: daemon.camera("cam")["state"] in ("away", "connecting"), 5)
        finally:
            camera.thaw()
        eventually("back", lambda: daemon.camera("cam")["state"] in ("live", "masked"), 15)


def test_reload_keeps_unchanged_cameras_streaming_and_terminates_quickly(tmp_path: Path) -> None:
    with RtspCamera() as camera, RunningDaemon(tmp_path, [{"id": "one", "url": camera.url}], detect=QUICK) as daemon:
        eventually("streaming", lambda: daemon.camera("one")["state"] == "live", 20)
        with av.open(daemon.url("one"), options={"rtsp_transport": "tcp"}, timeout=(10, 5)) as viewer:
            packets = viewer.demux(video=0)
            next(packets)
            daemon.write([{"id": "one", "url": camera.url}, {"id": "two", "url": camera.url}])
            daemon.reload()
            eventually("the second camera", lambda: daemon.camera("two")["state"] == "live", 20)
            for _ in range(30):
                next(packets)
        daemon.path.write_text("camerass: []\n")
        daemon.reload()
        eventually("an explanation", lambda: "did you mean 'cameras'" in daemon.log, 10)
        daemon.reload()
        eventually("the same again for who asks again", lambda: daemon.log.count("did you mean 'cameras'") == 2, 10)
        eventually("frames of the second camera", lambda: daemon.camera("two")["fps_out"] > 5, 10)
        daemon.write([{"id": "two", "url": camera.url}])
        daemon.reload()
        eventually("only the second camera", lambda: daemon.camera_ids() == ["two"], 10)
        assert daemon.camera("two")["restarts"] == 0
        assert daemon.stop(timeout_s=5) == 0


def test_it_stops_within_five_seconds_even_while_a_camera_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam"
        with RunningDaemon(tmp_path, [{"id": "mute", "url": url}]) as daemon:
            eventually("a placeholder", lambda: daemon.camera("mute")["whole_frame"] == "no_signal", 20)
            assert daemon.camera("mute")["state"] == "connecting"
            assert daemon.get("/healthz")[0] == 200
            assert daemon.stop(timeout_s=5) == 0


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_reload_that_fails_half_way_is_made_good_by_the_next_one(tmp_path: Path) -> None:
    with (
        RtspCamera() as camera,
        socket.create_server(("127.0.0.1", 0)) as squatter,
        RunningDaemon(tmp_path, [{"id": "one", "url": camera.url}], detect=QUICK) as daemon,
    ):
        eventually("streaming", lambda: daemon.camera("one")["state"] == "live", 20)
        own_port, daemon.rtsp_port = daemon.rtsp_port, squatter.getsockname()[1]
        daemon.write([{"id": "one", "url": camera.url}, {"id": "two", "url": camera.url}])
        daemon.reload()
        eventually("an explanation", lambda: "rtsp.port" in daemon.log, 10)
        eventually("the second camera", lambda: daemon.camera("two")["state"] == "live", 20)
        daemon.rtsp_port = own_port
        daemon.write([{"id": "two", "url": camera.url}])
        daemon.reload()
        eventually("only the second camera", lambda: daemon.camera_ids() == ["two"], 10)
        eventually("the server at its port", lambda: _listens(own_port), 10)
        with av.open(daemon.url("two"), options={"rtsp_transport": "tcp"}, timeout=(10, 5)) as viewer:
            next(viewer.demux(video=0))
        assert daemon.stop(timeout_s=5) == 0
