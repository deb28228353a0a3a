"""The demo camera's parts that need no server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from anonymizer.clock import SystemClock
from anonymizer.demo import pedestrians, virtual_camera
from anonymizer.demo.cache import cache_folder
from anonymizer.demo.camera import DemoCamera, DemoCameras, DemoOptions
from anonymizer.demo.reel import Codec, clip_reel, portraits_reel, remove_unfinished
from anonymizer.errors import SourceError
from anonymizer.probe import probe
from anonymizer.settings.schema import CameraSettings
from anonymizer.types import Size


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("demo://", DemoOptions()),
        ("demo://?codec=h265", DemoOptions(codec=Codec.H265)),
        ("demo://?clip=/a%20b.avi&fps=12.5", DemoOptions(clip=Path("/a b.avi"), fps=Fraction(25, 2))),
        ("demo://?size=641x361", DemoOptions(size=Size(640, 360))),  # 4:2:0 needs even numbers
    ],
)
def test_demo_url_options_are_read(url: str, options: DemoOptions) -> None:
    assert DemoOptions.from_url(url) == options


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("demo://camera1", "write demo://"),
        ("demo://?colour=red", "unknown option 'colour'; known are clip, size, fps, codec"),
        ("demo://?fps=0", "not between 1 and 60"),
        ("demo://?size=big", "demo://?size=big"),
        ("demo://?codec=vp9", "vp9"),
    ],
)
def test_a_wrong_demo_url_says_what_is_wrong(url: str, says: str) -> None:
    with pytest.raises(SourceError) as caught:
        DemoOptions.from_url(url)
    assert says in str(caught.value)


def test_the_virtual_camera_ends_where_it_began() -> None:
    size = Size(1280, 720)
    np.testing.assert_allclose(virtual_camera.view_at(0.0, size), virtual_camera.view_at(1.0, size), atol=1e-6)


def test_the_virtual_camera_moves_and_renders_the_wanted_size() -> None:
    pictures = list(virtual_camera.render(Size(64, 36), 0.2))
    assert [picture.shape for picture in pictures] == [(36, 64, 3)] * 4
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 1


@pytest.mark.parametrize("codec", list(Codec))
def test_a_reel_is_encoded_once_and_starts_with_a_decodable_picture(tmp_path: Path, codec: Codec) -> None:
    first = portraits_reel(tmp_path, codec=codec, size=Size(64, 64), fps=Fraction(2))
    made = [path.stat().st_mtime_ns for path in tmp_path.iterdir()]
    again = portraits_reel(tmp_path, codec=codec, size=Size(64, 64), fps=Fraction(2))
    assert (len(first.units), again) == (40, first)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == made
    decoder = av.CodecContext.create({"h264": "h264", "h265": "hevc", "mjpeg": "mjpeg"}[codec], "r")
    assert isinstance(decoder, av.VideoCodecContext)
    assert len([*decoder.decode(av.Packet(first.units[0])), *decoder.decode(None)]) == 1


def test_a_clip_is_brought_to_the_wanted_rate_and_an_even_size(tmp_path: Path) -> None:
    film = tmp_path / "film.avi"
    with av.open(str(film), "w") as out:
        stream = out.add_stream("mjpeg", rate=10, options={"strict": "-1"})
        stream.width, stream.height, stream.pix_fmt = 65, 49, "yuvj420p"
        for value in range(20):
            picture = np.full((49, 65, 3), value * 10, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        out.mux(stream.encode(None))
    slow = clip_reel(tmp_path, film, codec=Codec.MJPEG, size=None, fps=Fraction(5))
    own = clip_reel(tmp_path, film, codec=Codec.MJPEG, size=None, fps=None)
    assert (slow.size, len(slow.units)) == (Size(64, 48), 10)
    assert (own.fps, len(own.units)) == (Fraction(10), 20)


def test_only_what_dead_processes_left_half_encoded_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "--version"], stdout=subprocess.DEVNULL) as gone:
        pass
    kept = ["reel-a.h264", f"reel-a.{os.getpid()}.part", "reel-a.1.part", "other.part"]
    for name in (*kept, f"reel-a.{gone.pid}.part", "reel-b.none.part"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_probe_gives_a_demo_camera_time_to_encode_its_film(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def encoding(_cameras: DemoCameras, _url: str, timeout_s: float) -> str:
        waits.append(timeout_s)
        raise SourceError("still encoding")

    monkeypatch.setattr(DemoCameras, "rtsp_url", encoding)
    with pytest.raises(SourceError, match="still encoding"):
        probe(CameraSettings(id="demo", url="demo://", open_timeout_s=1), SystemClock())
    assert waits[0] >= 300


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.avi"):
        clip_reel(tmp_path, tmp_path / "nowhere.avi", codec=Codec.H264, size=None, fps=None)


def test_a_cache_that_cannot_be_written_is_not_blamed_on_the_clip(tmp_path: Path) -> None:
    film = tmp_path / "film.mjpeg"
    encoded = portraits_reel(tmp_path, codec=Codec.MJPEG, size=Size(64, 64), fps=Fraction(2))
    film.write_bytes(b"".join(encoded.units))
    gone = tmp_path / "gone"
    why = r"cannot keep .* in .*gone: No such file or directory; make room there"
    with pytest.raises(SourceError, match=why):
        clip_reel(gone, film, codec=Codec.MJPEG, size=None, fps=None)
    with pytest.raises(SourceError, match=why):
        portraits_reel(gone, codec=Codec.MJPEG, size=Size(64, 64), fps=Fraction(2))


def test_the_cache_folder_follows_systemd_then_xdg_then_home(tmp_path: Path) -> None:
    systemd, xdg, home = (tmp_path / name for name in ("systemd", "xdg", "home"))
    every = {"CACHE_DIRECTORY": str(systemd), "XDG_CACHE_HOME": str(xdg), "HOME": str(home)}
    assert cache_folder(every) == systemd
    assert cache_folder({**every, "CACHE_DIRECTORY": ""}) == xdg / "anonymizer"
    assert cache_folder({"HOME": str(home)}) == home / ".cache" / "anonymizer"


def test_without_a_usable_home_the_cache_is_a_private_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = cache_folder({"HOME": str(tmp_path / "file")})
    assert folder.stat().st_mode & 0o077 == 0
    folder.rmdir()


def test_a_clip_that_is_in_the_cache_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pedestrians.avi").touch()
    monkeypatch.setattr(subprocess, "run", None)
    assert pedestrians.pedestrian_clip(tmp_path) == tmp_path / "pedestrians.avi"


def test_a_failing_apt_is_explained_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package opencv-doc' >&2\nexit 100\n")
    (tools / "dpkg-deb").write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(SourceError, match="Unable to locate package opencv-doc; run `apt-get update`"):
        pedestrians.pedestrian_clip(cache)
    assert list(cache.iterdir()) == []


def test_a_machine_without_apt_is_told_where_to_put_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(SourceError, match=str(tmp_path / "pedestrians.avi")):
        pedestrians.pedestrian_clip(tmp_path)


def test_a_camera_that_was_never_started_has_no_url_and_closes_quietly() -> None:
    camera = DemoCamera()
    camera.close()
    assert (camera.pid, camera.running()) == (None, False)
    with pytest.raises(SourceError):
        _ = camera.url
    with pytest.raises(SourceError):
        camera.wait(0)


def test_closed_demo_cameras_start_nothing() -> None:
    cameras = DemoCameras()
    cameras.close()
    with pytest.raises(SourceError, match="closed"):
        cameras.rtsp_url("demo://", 1.0)
