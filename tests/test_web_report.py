"""Rules of what the page says about a camera."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from anonymizer.observe.meter import WHOLE_FRAME_REASONS
from anonymizer.types import CameraStatus, LinkState, Reason, Size
from anonymizer.web.report import WHY_MASKED, Report, camera_report, to_json
from anonymizer.web.site import RtspAddress

SECOND = 1_000_000_000
LIVE = CameraStatus(
    camera_id="door",
    link=LinkState.STREAMING,
    detail="",
    size=Size(1280, 720),
    fps_in=14.96,
    fps_out=15.04,
    latency_ms=151.77,
    whole_frame=None,
    published_ns=100 * SECOND,
    tracks=2,
    restarts=1,
)


def test_a_live_camera_reports_rounded_numbers_and_its_addresses() -> None:
    assert camera_report(LIVE, 101 * SECOND, "rtsp://h:8554/door") == {
        "id": "door",
        "state": "live",
        "summary": "Masking 2 people or faces.",
        "detail": "",
        "whole_frame": None,
        "width_px": 1280,
        "height_px": 720,
        "fps_in": 15.0,
        "fps_out": 15.0,
        "latency_ms": 151.8,
        "published_age_s": 1.0,
        "tracks": 2,
        "restarts": 1,
        "load_level": 0,
        "rtsp_url": "rtsp://h:8554/door",
        "snapshot_path": "cameras/door/snapshot.jpg",
        "stream_path": "cameras/door/stream.mjpeg",
    }


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"tracks": 0}, "live", "Nobody found"),
        ({"tracks": 1}, "live", "1 person or face"),
        ({"load_level": 1}, "live", "people or faces. Masks are wider under load."),
        ({"load_level": 4}, "live", "people or faces. Reduced frame rate under load."),
        ({"whole_frame": Reason.STALE}, "masked", "too slow"),
        ({"link": LinkState.WAITING, "whole_frame": Reason.NO_SIGNAL}, "away", "away"),
        ({"link": LinkState.CONNECTING, "published_ns": None}, "connecting", "Connecting"),
        ({"link": LinkState.ENDED}, "ended", "played to its end"),
        ({"published_ns": None}, "stalled", "no picture has been published yet"),
        ({"published_ns": 80 * SECOND}, "stalled", "for 21 s"),  # connected, and yet nothing comes out
        ({"published_ns": 80 * SECOND, "whole_frame": Reason.STALE}, "stalled", "for 21 s"),
    ],
)
def test_each_state_has_a_name_and_plain_words(change: dict[str, Any], state: str, words: str) -> None:
    report = camera_report(dataclasses.replace(LIVE, **change), 101 * SECOND, None)
    assert report["state"] == state
    assert words in report["summary"]


@pytest.mark.parametrize("reason", WHOLE_FRAME_REASONS)
def test_every_reason_for_a_whole_mask_is_explained(reason: Reason) -> None:
    assert WHY_MASKED[reason].endswith(".")
    assert camera_report(dataclasses.replace(LIVE, whole_frame=reason), 101 * SECOND, None)["state"] == "masked"


def test_a_password_or_key_in_the_detail_is_masked() -> None:
    status = dataclasses.replace(LIVE, detail="rtsp://admin:hunter2@cam/hunter2 refused")
    assert camera_report(status, 0, None)["detail"] == "rtsp://***@cam/*** refused"


def test_odd_numbers_still_make_valid_json() -> None:
    odd = dataclasses.replace(LIVE, fps_in=float("nan"), fps_out=float("inf"), latency_ms=None, size=None)
    camera = camera_report(odd, 0, None)
    report = Report(version="1", ready=True, healthy=True, picture_interval_s=0.2, cameras=[camera])
    assert json.loads(to_json(report))["cameras"][0] == camera
    assert (camera["fps_in"], camera["fps_out"], camera["latency_ms"], camera["width_px"]) == (0.0, 0.0, None, None)


@pytest.mark.parametrize(
    ("listen", "own", "url"),
    [
        ("127.0.0.1", "192.168.1.9", "rtsp://127.0.0.1:8554/door"),
        ("0.0.0.0", "192.168.1.9", "rtsp://192.168.1.9:8554/door"),  # noqa: S104
        ("::", "fd00::5", "rtsp://[fd00::5]:8554/door"),
        ("::1", "127.0.0.1", "rtsp://[::1]:8554/door"),
        ("localhost", "127.0.0.1", "rtsp://localhost:8554/door"),
    ],
)
def test_the_rtsp_address_is_one_that_the_asking_client_can_reach(listen: str, own: str, url: str) -> None:
    assert RtspAddress(listen, 8554).url("door", own) == url
