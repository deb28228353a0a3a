"""Rules of the newest picture: lazy, encoded once, right colours, never waits for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.types import Colour, Frame, Planes, RedactedFrame, RedactionPlan
from anonymizer.web import preview
from anonymizer.web.preview import PreviewStore, encode_jpeg
from tests.fakes import make_frame, make_planes


def redacted(seq: int = 0, *, camera_id: str = "door", planes: Planes | None = None) -> RedactedFrame:
    return Redactor(RedactSettings()).redact(make_frame(seq, camera_id=camera_id, planes=planes), RedactionPlan(seq))


def flat(y: int, u: int, v: int, colour: Colour, width: int = 32, height: int = 16) -> RedactedFrame:
    planes = [np.full((h, w), value, np.uint8) for value, h, w in [
        (y, height, width), (u, height // 2, width // 2), (v, height // 2, width // 2)
    ]]  # fmt: skip
    frame = Frame("door", 0, 0, 0, 0, 0, Planes(*planes), colour)
    return Redactor(RedactSettings()).redact(frame, RedactionPlan(0))


def decode(jpeg: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    done: list[int] = []

    def counted(frame: RedactedFrame, *, quality: int, max_width_px: int) -> bytes:
        done.append(frame.seq)
        return encode_jpeg(frame, quality=quality, max_width_px=max_width_px)

    monkeypatch.setattr(preview, "encode_jpeg", counted)
    return done


def store() -> PreviewStore:
    return PreviewStore(quality=75, max_width_px=1280)


def test_nothing_is_encoded_while_nobody_looks(encodings: list[int]) -> None:
    it = store()
    for seq in range(5):
        it.offer(redacted(seq))
    assert encodings == []
    assert it.newest("door") is not None
    assert encodings == [4]


def test_a_frame_is_encoded_once_for_all_who_look(encodings: list[int]) -> None:
    it = store()
    it.offer(redacted(7))
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(lambda _: it.newest("door"), range(32)))
    assert encodings == [7]
    assert len({id(picture) for picture in pictures}) == 1


def test_cameras_do_not_mix() -> None:
    it = store()
    it.offer(redacted(camera_id="door", planes=make_planes(64, 48)))
    it.offer(redacted(camera_id="yard", planes=make_planes(32, 16)))
    for camera_id, shape in (("door", (48, 64, 3)), ("yard", (16, 32, 3))):
        picture = it.newest(camera_id)
        assert picture is not None
        assert decode(picture.jpeg).shape == shape


def test_there_is_no_picture_before_the_first_frame_and_after_forget() -> None:
    it = store()
    assert it.newest("door") is None
    assert it.wait("door", after=-1, timeout_s=0) is None
    it.offer(redacted())
    it.forget("door")
    it.forget("door")
    assert it.newest("door") is None


def test_waiting_ends_with_the_next_frame() -> None:
    it = store()
    it.offer(redacted(0))
    first = it.newest("door")
    assert first is not None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(it.wait, "door", after=first.version, timeout_s=30)
        it.offer(redacted(1))
        second = waiting.result(timeout=10)
    assert second is not None
    assert second.version == first.version + 1
    assert second.tag != first.tag


def test_waiting_in_vain_gives_the_same_picture_again() -> None:
    it = store()
    it.offer(redacted())
    first = it.newest("door")
    assert first is not None
    assert it.wait("door", after=first.version, timeout_s=0.01) is first


def test_forgetting_a_camera_lets_those_who_wait_for_it_go() -> None:
    it = store()
    it.offer(redacted())
    waits = threading.Event()

    def wait() -> object:
        waits.set()
        return it.wait("door", after=0, timeout_s=30)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        waits.wait(10)
        it.forget("door")
        assert waiting.result(timeout=10) is None


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((2560, 1440), (720, 1280, 3)),
        ((1282, 4), (4, 1280, 3)),
        ((4000, 2), (2, 1280, 3)),  # never flatter than two rows
        ((1280, 720), (720, 1280, 3)),
        ((2, 2), (2, 2, 3)),
    ],
)
def test_wide_pictures_are_scaled_down_and_small_ones_left(size: tuple[int, int], shape: tuple[int, ...]) -> None:
    jpeg = encode_jpeg(redacted(planes=make_planes(*size)), quality=75, max_width_px=1280)
    assert decode(jpeg).shape == shape


@pytest.mark.parametrize("max_width_px", [1280, 16])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("bt709", "weights"), [(True, (0.2126, 0.7152, 0.0722)), (False, (0.299, 0.587, 0.114))])
@pytest.mark.parametrize(
    "rgb", [(255, 255, 255), (0, 0, 0), (200, 50, 60), (40, 180, 60), (50, 60, 200), (120, 120, 120)]
)
def test_colours_are_right_whatever_the_camera_calls_them(
    rgb: tuple[int, int, int], bt709: bool, weights: tuple[float, float, float], full_range: bool, max_width_px: int
) -> None:
    luma = sum(weight * value for weight, value in zip(weights, rgb, strict=True))
    cb, cr = (rgb[2] - luma) / (2 * (1 - weights[2])), (rgb[0] - luma) / (2 * (1 - weights[0]))
    if not full_range:
        luma, cb, cr = 16 + luma * 219 / 255, cb * 224 / 255, cr * 224 / 255
    frame = flat(round(luma), round(128 + cb), round(128 + cr), Colour(full_range=full_range, bt709=bt709))
    picture = decode(encode_jpeg(frame, quality=95, max_width_px=max_width_px))
    assert np.abs(picture[..., ::-1].astype(int) - np.array(rgb)).max() <= 5
