"""Fakes for the edges: frames, meter."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest

from anonymizer.ports import Detector
from anonymizer.types import U8, Detections, Doubt, Frame, Outcome, Planes, Reason, Stage, Target


def make_planes(width: int = 64, height: int = 48, *, seed: int | None = None) -> Planes:
    """Random (seeded) or mid-grey read-only planes."""
    if seed is None:
        planes = [np.full((h, w), 128, np.uint8) for h, w in ((height, width), *[(height // 2, width // 2)] * 2)]
    else:
        rng = np.random.default_rng(seed)
        shapes = ((height, width), *[(height // 2, width // 2)] * 2)
        planes = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    for plane in planes:
        plane.flags.writeable = False
    return Planes(*planes)


def to_planes(i420: U8) -> Planes:
    """A (H * 3 / 2, W) picture as read-only planes."""
    width, height = i420.shape[1], i420.shape[0] * 2 // 3
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    planes = Planes(i420[:height].copy(), chroma[0].copy(), chroma[1].copy())
    for plane in (planes.y, planes.u, planes.v):
        plane.flags.writeable = False
    return planes


def make_frame(
    seq: int = 0,
    *,
    camera_id: str = "cam",
    epoch: int = 0,
    pts_ns: int | None = None,
    captured_ns: int | None = None,
    planes: Planes | None = None,
    suspect: bool = False,
) -> Frame:
    """A raw frame; times default to 40 ms a frame."""
    at = seq * 40_000_000
    return Frame(
        camera_id=camera_id,
        seq=seq,
        epoch=epoch,
        pts_ns=at if pts_ns is None else pts_ns,
        captured_ns=at if captured_ns is None else captured_ns,
        wall_ns=at,
        planes=planes or make_planes(),
        suspect=suspect,
    )


def make_detections(
    *boxes: tuple[float, float, float, float],
    seq: int = 0,
    camera_id: str = "cam",
    epoch: int = 0,
    score: float = 0.9,
    target: Target = Target.FACE,
) -> Detections:
    """Detections of one target with one score."""
    return Detections(
        camera_id=camera_id,
        seq=seq,
        epoch=epoch,
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        scores=np.full(len(boxes), score, np.float32),
        class_ids=np.full(len(boxes), int(target), np.int32),
        model="fake",
    )


def no_detector(_order: object) -> Detector:
    """In the place of a maker of detectors that must not be asked for one."""
    pytest.fail("somebody asked for a detector")


class RecordingMeter:
    """A Meter that remembers; `counts` keys are (method, camera, *labels)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.values: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def _count(self, *key: str, amount: int = 1) -> None:
        with self._lock:
            self.counts[key] += amount

    def _set(self, *key: str, value: float) -> None:
        with self._lock:
            self.values[key] = value

    def frame(self, camera: str, stage: Stage, outcome: Outcome) -> None:
        self._count("frame", camera, stage, outcome)

    def stage_seconds(self, camera: str, stage: Stage, seconds: float) -> None:
        self._set("stage_seconds", camera, stage, value=seconds)

    def latency_seconds(self, camera: str, seconds: float) -> None:
        self._set("latency_seconds", camera, value=seconds)

    def detections(self, camera: str, target: Target, count: int) -> None:
        self._count("detections", camera, target.name, amount=count)

    def tracks(self, camera: str, target: Target, count: int) -> None:
        self._set("tracks", camera, target.name, value=count)

    def whole_frame(self, camera: str, reason: Reason) -> None:
        self._count("whole_frame", camera, reason)

    def governor_level(self, camera: str, level: int) -> None:
        self._set("governor_level", camera, value=level)

    def look_spared(self, camera: str) -> None:
        self._count("look_spared", camera)

    def masked_backwards(self, camera: str) -> None:
        self._count("masked_backwards", camera)

    def gaps_bridged(self, camera: str, count: int) -> None:
        self._count("gaps_bridged", camera, amount=count)

    def unconfirmed_masked(self, camera: str, count: int) -> None:
        self._count("unconfirmed_masked", camera, amount=count)

    def suspect(self, camera: str, cause: str) -> None:
        self._count("suspect", camera, cause)

    def connected(self, camera: str, *, up: bool) -> None:
        self._set("connected", camera, value=float(up))

    def reconnect(self, camera: str) -> None:
        self._count("reconnect", camera)

    def dropped(self, camera: str, queue: str, count: int = 1) -> None:
        self._count("dropped", camera, queue, amount=count)

    def queue_depth(self, camera: str, queue: str, depth: int) -> None:
        self._set("queue_depth", camera, queue, value=depth)

    def restart(self, camera: str, stage: Stage) -> None:
        self._count("restart", camera, stage)

    def clients(self, camera: str, output: str, count: int) -> None:
        self._set("clients", camera, output, value=count)

    def bytes_out(self, camera: str, output: str, count: int) -> None:
        self._count("bytes_out", camera, output, amount=count)

    def detector_model(self, model: str, precision: str, runtime: str, delegate: str) -> None:
        self._count("detector_model", model, precision, runtime, delegate)

    def attention_failed(self, camera: str) -> None:
        self._count("attention_failed", camera)

    def kept_visible(self, camera: str, *, begins: bool) -> None:
        self._count("kept_visible", camera, "begin" if begins else "end")

    def recognition_refused(self, camera: str, doubt: Doubt) -> None:
        self._count("recognition_refused", camera, doubt)

    def silhouettes(self, camera: str, *, drawn: int, boxes: int) -> None:
        self._count("silhouettes", camera, "drawn", amount=drawn)
        self._count("silhouettes", camera, "box", amount=boxes)

    def delegate_fallback(self, model: str, delegate: str) -> None:
        self._count("delegate_fallback", model, delegate)

    def audited(self, camera: str, findings: int) -> None:
        self._count("audited", camera)
        self._count("findings", camera, amount=findings)

    def audit_failed(self, camera: str) -> None:
        self._count("audit_failed", camera)

    def webhook_failed(self, camera: str) -> None:
        self._count("webhook_failed", camera)

    def remember(self, camera: str) -> None:
        self._count("remember", camera)

    def forget(self, camera: str) -> None:
        self._count("forget", camera)
