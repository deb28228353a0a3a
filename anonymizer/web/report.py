"""Describes the state of each camera as JSON and in plain words, for the status page and for scripts."""

from __future__ import annotations

import json
import math
from typing import Literal, TypedDict

from anonymizer.observe.log import mask_secrets
from anonymizer.types import CameraStatus, LinkState, Reason

STALLED_AFTER_S = 5.0

State = Literal["live", "masked", "connecting", "away", "stalled", "ended"]

WHY_MASKED = {
    Reason.STARTING: "Starting: the whole picture is masked until the first look for people is done.",
    Reason.STALE: "Looking for people is too slow: the whole picture is masked meanwhile.",
    Reason.INFERENCE_FAILED: "Looking for people failed: the whole picture is masked.",
    Reason.INVALID_OUTPUT: "The model gave impossible answers: the whole picture is masked.",
    Reason.SUSPECT_DECODE: "The camera's stream is damaged: the whole picture is masked until the next clean one.",
    Reason.CAMERA_CHANGED: "The camera changed its picture: all of it is masked until people are found anew.",
    Reason.CAMERA_MOVED: "The camera moves or shows another scene: all of it is masked until people are found anew.",
    Reason.ATTENTION_FAILED: "The attention model failed: in mode strict the whole picture is masked. See the log.",
    Reason.NO_SIGNAL: "No picture from the camera.",
    Reason.POLICY_FAILED: "Deciding what to mask failed: the whole picture is masked. See the log.",
}
_LOAD = ("", "Masks are wider under load.", "Reduced frame rate under load.")  # by level; the last for higher ones
_ANY_REASON = "The whole picture is masked."


class CameraReport(TypedDict):
    """One camera in `/api/cameras`."""

    id: str
    state: State
    summary: str  # one sentence for people
    detail: str  # the last report of the capture stage; may be empty
    whole_frame: str | None  # value of Reason, of the newest published frame
    width_px: int | None
    height_px: int | None
    fps_in: float
    fps_out: float
    latency_ms: float | None  # capture to publish, median
    published_age_s: float | None  # since the newest published frame
    tracks: int
    restarts: int
    load_level: int  # 0: none
    rtsp_url: str | None
    snapshot_path: str  # relative to the page
    stream_path: str


class Report(TypedDict):
    """The answer of `/api/cameras`."""

    version: str
    ready: bool
    healthy: bool
    picture_interval_s: float  # how long the page waits between two pictures at least
    cameras: list[CameraReport]


def camera_report(status: CameraStatus, now_ns: int, rtsp_url: str | None) -> CameraReport:
    """The report on one camera; `now_ns` is on the monotonic clock; `rtsp_url` None: it is not served over RTSP."""
    age_s = None if status.published_ns is None else max(0, now_ns - status.published_ns) / 1e9
    state, summary = _state(status, age_s)
    return CameraReport(
        id=status.camera_id,
        state=state,
        summary=summary,
        detail=mask_secrets(status.detail),
        whole_frame=status.whole_frame,
        width_px=status.size.width if status.size else None,
        height_px=status.size.height if status.size else None,
        fps_in=_rounded(status.fps_in) or 0.0,
        fps_out=_rounded(status.fps_out) or 0.0,
        latency_ms=_rounded(status.latency_ms),
        published_age_s=_rounded(age_s),
        tracks=status.tracks,
        restarts=status.restarts,
        load_level=status.load_level,
        rtsp_url=rtsp_url,
        snapshot_path=f"cameras/{status.camera_id}/snapshot.jpg",
        stream_path=f"cameras/{status.camera_id}/stream.mjpeg",
    )


def to_json(report: Report) -> bytes:
    """The report as UTF-8 JSON."""
    return json.dumps(report, ensure_ascii=False, allow_nan=False).encode()


def _state(status: CameraStatus, age_s: float | None) -> tuple[State, str]:
    """The camera's state and the sentence that explains it; the most serious one wins."""
    if status.link is LinkState.ENDED:
        return "ended", "The file has been played to its end."
    if status.link is LinkState.WAITING:
        return "away", "The camera is away; trying to reach it again."
    if status.link is LinkState.CONNECTING:
        return "connecting", "Connecting to the camera."
    if age_s is None:
        return "stalled", "Connected; no picture has been published yet."
    if age_s > STALLED_AFTER_S:
        return "stalled", f"No picture has been published for {age_s:.0f} s."
    if status.whole_frame is not None:
        return "masked", WHY_MASKED.get(status.whole_frame, _ANY_REASON)
    return "live", f"{_people(status.tracks)} {_LOAD[min(status.load_level, len(_LOAD) - 1)]}".rstrip()


def _people(tracks: int) -> str:
    if tracks == 0:
        return "Nobody found in the picture."
    return f"Masking {tracks} {'person or face' if tracks == 1 else 'people or faces'}."


def _rounded(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(number, 1)
