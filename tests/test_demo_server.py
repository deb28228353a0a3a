"""The demo camera's process: it serves real RTSP, it is shared, and it never outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import pytest

from anonymizer.demo.camera import DemoCamera, DemoCameras, DemoOptions
from anonymizer.errors import SourceError
from anonymizer.types import Size
from tests.daemon import eventually
from tests.rtsp_camera import RtspCamera

pytestmark = pytest.mark.e2e

SMALL = "demo://?size=320x180&fps=15"


def read_pts(url: str, count: int) -> list[int]:
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=5.0) as film:
        stream = film.streams.video[0]
        pts: list[int] = []
        for frame in film.decode(stream):
            if frame.pts is not None:  # libav does not know the time of the very first
                pts.append(round(frame.time * 1000))
            if len(pts) == count:
                break
    return pts


def test_two_users_of_one_address_share_one_process_and_another_address_gets_its_own() -> None:
    with DemoCameras() as cameras:
        first, again, other = (cameras.rtsp_url(url, 60.0) for url in (SMALL, SMALL, SMALL + "&codec=mjpeg"))
        assert first == again != other
        assert len(read_pts(first, 3)) == 3


def test_the_process_of_an_address_that_left_the_settings_ends() -> None:
    with DemoCameras() as cameras:
        kept = cameras.rtsp_url(SMALL, 60.0)
        cameras.rtsp_url(SMALL + "&codec=mjpeg", 60.0)
        gone = cameras._cameras[SMALL + "&codec=mjpeg"]
        cameras.keep({SMALL, "rtsp://door/1"})
        assert not gone.running()
        assert cameras.rtsp_url(SMALL, 60.0) == kept


def test_timestamps_go_on_evenly_where_the_loop_starts_again(tmp_path: Path) -> None:
    film = tmp_path / "half-a-second.mp4"
    with av.open(str(film), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))
    with RtspCamera(film) as camera:
        pts = read_pts(camera.url, 13)
    assert [b - a for a, b in pairwise(pts)] == [100] * 12


def test_a_dead_camera_is_started_again_on_demand() -> None:
    with DemoCameras() as cameras:
        cameras.rtsp_url(SMALL, 60.0)
        (camera,) = cameras._cameras.values()
        assert camera.pid is not None
        os.kill(camera.pid, 9)
        os.waitid(os.P_PID, camera.pid, os.WEXITED | os.WNOWAIT)
        assert len(read_pts(cameras.rtsp_url(SMALL, 60.0), 2)) == 2


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with RtspCamera() as camera, pytest.raises(SourceError, match=f"cannot listen on 127.0.0.1:{camera.port}"):
        DemoCamera(DemoOptions(size=Size(320, 180)), port=camera.port).start()


def test_a_camera_that_is_closed_while_it_encodes_leaves_no_half_of_its_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    camera = DemoCamera(DemoOptions(size=Size(1920, 1080)))
    camera.spawn()
    eventually("the film is begun", lambda: list(tmp_path.glob("reel-*.part")), 60, every_s=0.02)
    assert camera.pid is not None
    assert os.getpgid(camera.pid) != os.getpgid(0)  # a Ctrl-C must not interrupt its tidying up
    camera.close()
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_process_is_ended_too() -> None:
    camera = DemoCamera(DemoOptions(size=Size(320, 180)))
    camera.start()
    pid = camera.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    camera.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_process_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os; from tests.rtsp_camera import RtspCamera; camera = RtspCamera(); camera.start();"
            "print(camera._camera.pid, flush=True); os.read(0, 1)",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    with parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        try:
            assert select.select([child], [], [], 5.0)[0], "the camera outlived its parent"
        finally:
            os.close(child)


def test_without_gstreamer_the_error_has_the_apt_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gi.py").write_text("raise ImportError('No module named gi')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SourceError, match="sudo apt install python3-gi"):
        DemoCamera(DemoOptions(size=Size(320, 180))).start()
