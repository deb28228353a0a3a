"""Films as cameras: damage, changes of size, loops, pace; and the connection's own rules on real decoders."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from anonymizer.capture.opening import open_source
from anonymizer.clock import Clock, FakeClock, SystemClock
from anonymizer.errors import SourceEnded, SourceError
from anonymizer.ports import Source
from anonymizer.settings.schema import CameraSettings
from anonymizer.types import Frame, Outcome, Size, Stage
from tests import film
from tests.fakes import RecordingMeter

MS = 1_000_000


@contextmanager
def playing(
    path: Path, meter: RecordingMeter | None = None, *, clock: Clock | None = None, paced: bool = False, **keys: object
) -> Iterator[Source]:
    settings = CameraSettings.model_validate({"id": "cam", "url": f"file://{path}", "loop": False, **keys})
    source = open_source(
        settings, epoch=1000, first_seq=7, clock=clock or SystemClock(), meter=meter or RecordingMeter(), paced=paced
    )
    source.start()
    try:
        yield source
    finally:
        source.close()


def read_all(source: Source) -> list[Frame]:
    frames = []
    try:
        while True:
            frames.append(source.read())
    except SourceEnded:
        return frames


def test_every_picture_of_a_film_comes_out_once_in_order(tmp_path: Path) -> None:
    path = film.encode(tmp_path / "film.mp4", 25)
    with playing(path) as source:
        frames = read_all(source)
    assert [frame.seq for frame in frames] == list(range(7, 32))
    assert [frame.pts_ns for frame in frames] == [100 * MS * i for i in range(25)]
    assert {(frame.camera_id, frame.epoch, frame.size, frame.suspect) for frame in frames} == {
        ("cam", 1000, Size(320, 240), False)
    }


def test_reordered_pictures_come_out_in_order_and_unsuspected(tmp_path: Path) -> None:
    path = film.encode(tmp_path / "film.mp4", 25, options={"bf": "3", "preset": "veryfast"})
    with playing(path) as source:
        frames = read_all(source)
    assert [frame.pts_ns for frame in frames] == [100 * MS * i for i in range(25)]
    assert not any(frame.suspect for frame in frames)


def test_times_are_recorded(tmp_path: Path) -> None:
    clock = FakeClock(5_000_000_000)
    with playing(film.encode(tmp_path / "film.mp4", 2), clock=clock) as source:
        frame = source.read()
    assert (frame.captured_ns, frame.wall_ns) == (clock.now_ns(), clock.wall_ns())


def test_max_fps_leaves_pictures_out_evenly_and_counts_them(tmp_path: Path) -> None:
    meter = RecordingMeter()
    with playing(film.encode(tmp_path / "film.mp4", 20), meter, max_fps=5) as source:
        frames = read_all(source)
    assert [frame.pts_ns for frame in frames] == [200 * MS * i for i in range(10)]
    assert [frame.seq for frame in frames] == list(range(7, 17))
    assert meter.counts["frame", "cam", Stage.CAPTURE, Outcome.DROPPED] == 10


def flip_bits(unit: bytes, rng: random.Random) -> bytes:
    hurt = bytearray(unit)
    for _ in range(8):
        hurt[rng.randrange(len(hurt) // 8, len(hurt))] ^= 1 << rng.randrange(8)
    return bytes(hurt)


def lose_a_packet(unit: bytes, rng: random.Random) -> bytes:
    """As when UDP loses one RTP packet of the picture."""
    at = rng.randrange(len(unit) // 8, len(unit) - 1400)
    return unit[:at] + unit[at + 1400 :]


@pytest.mark.parametrize("damage", [flip_bits, lose_a_packet])
def test_damage_is_suspect_from_its_first_visible_picture_to_the_next_key_picture(
    tmp_path: Path, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    """Key pictures are 0, 10, 20, 30; the damage is in 13 and 27."""
    clean = film.encode(tmp_path / "clean.h264", 40)
    rng = random.Random(4)
    units = film.access_units(clean)
    hurt = tmp_path / "hurt.h264"
    hurt.write_bytes(b"".join(damage(unit, rng) if index in (13, 27) else unit for index, unit in enumerate(units)))
    meter = RecordingMeter()
    with playing(clean) as source:
        good = [frame.planes.y.copy() for frame in read_all(source)]
    with playing(hurt, meter) as source:
        frames = read_all(source)
    seen_bad = [index for index, frame in enumerate(frames) if not np.array_equal(frame.planes.y, good[index])]
    assert [index for index, frame in enumerate(frames) if frame.suspect] == [*range(13, 20), *range(27, 30)]
    assert seen_bad
    assert not [index for index in seen_bad if not frames[index].suspect]
    assert meter.counts["suspect", "cam", "flag"] + meter.counts["suspect", "cam", "error"] >= 2


def test_a_missing_picture_is_suspect_until_the_next_key_picture(tmp_path: Path) -> None:
    """A raw stream carries no times, so the film goes through a container that keeps them."""
    path = film.encode(tmp_path / "film.mp4", 40)
    holed = tmp_path / "holed.mkv"
    without_picture(path, holed, 24)
    meter = RecordingMeter()
    with playing(holed, meter) as source:
        frames = read_all(source)
    assert [frame.pts_ns // (100 * MS) for frame in frames if frame.suspect] == [25, 26, 27, 28, 29]
    assert meter.counts["suspect", "cam", "loss"] == 1


def without_picture(path: Path, out: Path, missing: int) -> None:
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(source.demux(video=0)):
            if packet.size and index != missing:
                packet.stream = stream
                target.mux(packet)


def test_a_stream_that_is_refreshed_without_key_pictures_becomes_trusted(tmp_path: Path) -> None:
    """The second recovery point proves a whole refresh."""
    options = {"preset": "ultrafast", "tune": "zerolatency", "intra-refresh": "1"}
    path = film.encode(tmp_path / "film.h264", 45, options=options)
    units = film.access_units(path)
    hurt = tmp_path / "hurt.h264"
    hurt.write_bytes(b"".join(flip_bits(u, random.Random(1)) if index == 13 else u for index, u in enumerate(units)))
    with playing(hurt) as source:
        suspect = [index for index, frame in enumerate(read_all(source)) if frame.suspect]
    assert suspect == list(range(13, 30))


def test_a_change_of_size_in_mid_stream_begins_a_new_epoch(tmp_path: Path) -> None:
    small = film.encode(tmp_path / "small.h264", 12)
    large = film.encode(tmp_path / "large.h264", 12, width=640, height=360)
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes() + small.read_bytes())
    with playing(both) as source:
        frames = read_all(source)
    seen = [(frame.epoch, frame.size) for frame in frames]
    assert list(dict.fromkeys(seen)) == [(1000, Size(320, 240)), (1001, Size(640, 360)), (1002, Size(320, 240))]
    assert len(frames) == 36
    assert all(b.pts_ns > a.pts_ns and b.seq == a.seq + 1 for a, b in pairwise(frames))


@pytest.mark.parametrize(("codec", "suffix", "pixels"), [("libx265", "mp4", "yuv420p"), ("mjpeg", "avi", "yuvj422p")])
def test_other_codecs(tmp_path: Path, codec: str, suffix: str, pixels: str) -> None:
    options = {"x265-params": "log-level=none", "preset": "ultrafast"} if codec == "libx265" else {}
    path = film.encode(tmp_path / f"film.{suffix}", 5, codec=codec, pixels=pixels, options=options)
    with playing(path) as source:
        frames = read_all(source)
    assert len(frames) == 5
    assert not any(frame.suspect for frame in frames)
    assert frames[0].colour.full_range is (codec == "mjpeg")


def test_a_loop_goes_on_with_growing_times_and_numbers_and_a_new_epoch(tmp_path: Path) -> None:
    with playing(film.encode(tmp_path / "film.mp4", 4), loop=True) as source:
        frames = [source.read() for _ in range(10)]
    assert [frame.pts_ns for frame in frames] == [100 * MS * i for i in range(10)]
    assert [frame.seq for frame in frames] == list(range(7, 17))
    assert [frame.epoch for frame in frames] == [1000] * 4 + [1001] * 4 + [1002] * 2


def test_without_a_loop_the_end_is_said_plainly_and_again(tmp_path: Path) -> None:
    with playing(film.encode(tmp_path / "film.mp4", 1)) as source:
        source.read()
        for _ in range(2):
            with pytest.raises(SourceEnded, match=r"film\.mp4: the stream ended"):
                source.read()


@pytest.mark.parametrize(("told", "taken"), [("16/11", "16/11"), ("1/1", "1"), ("0/1", "1"), ("200/1", "1")])
def test_a_film_tells_the_shape_of_its_pixels_unless_that_is_absurd(tmp_path: Path, told: str, taken: str) -> None:
    path = film.encode(tmp_path / "film.h264", 2, options={"preset": "ultrafast", "x264-params": f"sar={told}"})
    with playing(path) as source:
        assert source.read().pixel_aspect == Fraction(taken)


@pytest.mark.parametrize("turn", [-90, 90, 180])
def test_a_film_that_lies_on_its_side_is_set_upright(tmp_path: Path, turn: int) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(film.encode(tmp_path / "lying.mp4", 2))) as lying, av.open(str(path), "w") as film_to_turn:
        stream = film_to_turn.add_stream_from_template(lying.streams.video[0])
        stream.set_display_rotation(turn)  # against the clock
        for packet in lying.demux(video=0):
            if packet.pts is not None:
                packet.stream = stream
                film_to_turn.mux(packet)
    with playing(path) as source:
        frame = source.read()
    with playing(tmp_path / "lying.mp4") as source:
        as_coded = source.read()
    assert frame.size == (Size(320, 240) if turn == 180 else Size(240, 320))
    for name in "yuv":
        upright = np.rot90(getattr(as_coded.planes, name), turn // 90)
        assert np.array_equal(getattr(frame.planes, name), upright)
        assert not getattr(frame.planes, name).flags.writeable


def test_a_paced_film_plays_in_its_own_time(tmp_path: Path) -> None:
    clock = SystemClock()
    with playing(film.encode(tmp_path / "film.mp4", 5), clock=clock, paced=True) as source:
        frames = read_all(source)
    waits_ms = [(b.captured_ns - a.captured_ns) / MS for a, b in pairwise(frames)]
    assert 380 <= sum(waits_ms) <= 700


def test_a_film_of_one_picture_is_not_shown_a_thousand_times_a_second(tmp_path: Path) -> None:
    with playing(film.encode(tmp_path / "film.mp4", 1), paced=True, loop=True) as source:
        frames = [source.read() for _ in range(4)]
    assert frames[-1].captured_ns - frames[0].captured_ns >= 100 * MS


def test_a_long_hole_in_a_film_is_not_waited_out(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with av.open(str(film.encode(tmp_path / "whole.mkv", 4))) as whole, av.open(str(path), "w") as holed:
        stream = holed.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.pts is not None:
                packet.pts = packet.dts = packet.pts + (20_000 if packet.pts >= 200 else 0)  # milliseconds
                packet.stream = stream
                holed.mux(packet)
    with playing(path, paced=True) as source:
        frames = read_all(source)
    assert [frame.pts_ns // MS for frame in frames] == [0, 100, 20_200, 20_300]
    assert frames[-1].captured_ns - frames[0].captured_ns < 5_000 * MS


def test_close_ends_the_wait_of_a_paced_film(tmp_path: Path) -> None:
    path = film.encode(tmp_path / "film.mp4", 101)
    with playing(path, paced=True, max_fps=0.5) as source:
        source.read()
        before = time.monotonic()
        closer = threading.Timer(0.05, source.close)
        closer.start()
        source.read()  # would be due in 2 s
        closer.join()
        assert time.monotonic() - before < 1.5
        with pytest.raises(SourceEnded):
            source.read()


def test_a_source_that_is_closed_or_never_started_reads_nothing(tmp_path: Path) -> None:
    with playing(film.encode(tmp_path / "film.mp4", 3)) as source:
        source.close()
        source.close()
        with pytest.raises(SourceEnded):
            source.read()


def test_data_without_pictures_ends_in_an_error_and_not_in_silence(tmp_path: Path) -> None:
    """A stream whose key picture never comes: the reader must not wait for ever."""

    class Hurrying(FakeClock):
        def now_ns(self) -> int:
            self.advance(0.5)
            return super().now_ns()

    units = film.access_units(film.encode(tmp_path / "film.h264", 60, key_interval=60))
    keyless = tmp_path / "keyless.h264"
    keyless.write_bytes(units[0][:60] + b"".join(units[1:]))
    with playing(keyless, clock=Hurrying()) as source, pytest.raises(SourceError, match="key frame") as caught:
        source.read()
    assert not isinstance(caught.value, SourceEnded)
