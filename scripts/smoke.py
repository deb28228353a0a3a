"""Starts the demo on free ports, reads the published pictures back and proves that the people in them are masked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import av
import cv2
import numpy as np

from anonymizer.clock import SystemClock
from anonymizer.demo import virtual_camera
from anonymizer.detectors import make_detector
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.types import F32, U8, Frame, Planes, Size

STREAMING_WITHIN_S = 240  # the first start encodes the demo's film
READ_FOR_S = 12
SAMPLES = 30
LEAST_REGIONAL = 5  # pictures that must be masked by region, not whole
SURE_SCORE = 0.5  # of somebody found in a source picture
# Correlation of fine detail: encoding alone leaves 0.8 to 0.99 of it, a mosaic 0.0 to 0.2.
UNMASKED = 0.8
MASKED = 0.5
HIDDEN_SHARE = 0.95
_REDUCED = (320, 180)
_TILE = 20


class SmokeError(Exception):
    """The demo does not do what it promises."""


def main() -> int:
    """Run everything; 0 if all is well."""
    with tempfile.TemporaryDirectory(prefix="anonymizer-smoke-") as folder:
        log = Path(folder) / "log.txt"
        try:
            with _daemon(log) as (process, rtsp_port, web_port):
                _wait_until_streaming(process, web_port)
                pictures = _read_stream(f"rtsp://127.0.0.1:{rtsp_port}/demo")
                _look_at_page(web_port)
            _judge(pictures)
        except (SmokeError, OSError, av.FFmpegError) as error:
            print("\n".join(log.read_text(errors="replace").splitlines()[-40:]), file=sys.stderr)
            print(f"smoke: FAILED: {error} (the end of the log is above)", file=sys.stderr)
            return 1
    print("smoke: ok")
    return 0


@contextlib.contextmanager
def _daemon(log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    rtsp_port, web_port = _free_port(), _free_port()
    ports = {"ANONYMIZER_RTSP_PORT": str(rtsp_port), "ANONYMIZER_WEB_PORT": str(web_port)}
    command = [sys.executable, "-m", "anonymizer", "run", "--config", "config/demo.yaml"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | ports)
    try:
        yield process, rtsp_port, web_port
        begun_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if process.wait(10) != 0:
            raise SmokeError(f"the daemon ended with status {process.returncode}")
        print(f"stopped within {time.monotonic() - begun_s:.1f} s")
    except subprocess.TimeoutExpired:
        raise SmokeError("the daemon did not stop within 10 s") from None
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(web_port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{web_port}{path}", timeout=10) as answer:
        body: bytes = answer.read()
    return body


def _wait_until_streaming(process: subprocess.Popen[bytes], web_port: int) -> None:
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < STREAMING_WITHIN_S:
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                report = json.loads(_get(web_port, "/api/cameras"))
                if report["ready"] and report["cameras"][0]["fps_in"] > 0:
                    print(f"streaming after {time.monotonic() - begun_s:.1f} s")
                    return
        else:
            raise SmokeError(f"the daemon ended with status {process.returncode}")
    raise SmokeError(f"the demo does not stream within {STREAMING_WITHIN_S} s")


def _read_stream(url: str) -> list[U8]:
    """Luma of evenly spread published pictures."""
    pictures: list[U8] = []
    count, begun_s = 0, time.monotonic()
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(15.0, 15.0)) as stream:
        for picture in stream.decode(video=0):
            if count % 5 == 0:
                pictures.append(_luma(picture))
            count += 1
            if time.monotonic() - begun_s > READ_FOR_S:
                break
        codec = stream.streams.video[0].codec_context.name
    print(f"read {count} pictures over RTSP: {codec}, {pictures[0].shape[1]}x{pictures[0].shape[0]}")
    return pictures[-SAMPLES:]


def _look_at_page(web_port: int) -> None:
    health = _get(web_port, "/healthz").decode().strip()
    snapshot = cv2.imdecode(np.frombuffer(_get(web_port, "/cameras/demo/snapshot.jpg"), np.uint8), cv2.IMREAD_COLOR)
    if snapshot is None:
        raise SmokeError("the snapshot is no picture")
    metrics = _get(web_port, "/metrics").decode()
    masked = re.findall(r'^anonymizer_whole_frame_masks_total{.*reason="(\w+)"} ([1-9][\d.]*)$', metrics, re.MULTILINE)
    reasons = ", ".join(f"{reason} {float(count):.0f}" for reason, count in masked)
    print(f"page: health {health}, snapshot {snapshot.shape[1]}x{snapshot.shape[0]}, whole-frame masks: {reasons}")


def _judge(pictures: Sequence[U8]) -> None:
    """Compare published with source pictures."""
    size = Size(pictures[0].shape[1], pictures[0].shape[0])
    known = np.stack([_tiles_of(_luma(picture)) for picture in _source_pictures(size)])
    shown = [_recognise(picture, known) for picture in pictures]
    sources = {index: _frame(picture) for index, picture in enumerate(_source_pictures(size)) if index in shown}
    found = hidden = 0
    settings = DetectSettings(face_threshold=SURE_SCORE, person_threshold=SURE_SCORE)
    meter = PrometheusMeter(version="smoke", runtime="")
    with make_detector(settings, frozenset(TargetName), is_flat=True, clock=SystemClock(), meter=meter) as detector:
        for picture, index in zip(pictures, shown, strict=True):
            if index is not None:
                boxes = detector.detect(sources[index]).boxes
                found += len(boxes)
                hidden += sum(_is_hidden(picture, sources[index], box) for box in boxes)
    regional = len(pictures) - shown.count(None)
    print(f"masked by region: {regional} of {len(pictures)} sampled pictures, the others whole")
    print(f"people and faces in their source pictures: {found}, masked in the published ones: {hidden}")
    if regional < LEAST_REGIONAL:
        raise SmokeError("nearly everything is masked whole: detections come too late on this machine, or not at all")
    if not found:
        raise SmokeError("nobody was found in the source pictures")
    if hidden < HIDDEN_SHARE * found:
        raise SmokeError("somebody is not masked")


def _source_pictures(size: Size) -> Iterable[av.VideoFrame]:
    clip = parse_qs(urlsplit(os.environ.get("ANONYMIZER_DEMO_URL", "")).query).get("clip")
    if clip is None:
        return (av.VideoFrame.from_ndarray(image, "bgr24") for image in virtual_camera.render(size, 15.0))
    return av.open(clip[0]).decode(video=0)


def _luma(picture: av.VideoFrame) -> U8:
    return np.asarray(picture.to_ndarray(format="gray"), np.uint8)


def _detail(luma: U8, sigma_px: float) -> F32:
    """What a mosaic destroys and encoding keeps: structures smaller than sigma."""
    return luma.astype(np.float32) - cv2.GaussianBlur(luma, (0, 0), sigma_px).astype(np.float32)


def _tiles_of(luma: U8) -> F32:
    """Details of a reduced picture, cut up: (tiles, pixels of a tile)."""
    width, height = _REDUCED
    detail = _detail(np.asarray(cv2.resize(luma, _REDUCED, interpolation=cv2.INTER_AREA), np.uint8), 3)
    grid = detail.reshape(height // _TILE, _TILE, width // _TILE, _TILE)
    return grid.swapaxes(1, 2).reshape(-1, _TILE * _TILE)


def _correlation(a: F32, b: F32) -> F32:
    """Along the last axis; 0 where there is no detail."""
    length = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(-1) / (length + 1e-3), np.float32)


def _recognise(picture: U8, known: F32) -> int | None:
    """Index of the source picture that this one shows outside of masks, if there is one."""
    alike = _correlation(known, _tiles_of(picture))
    best = int(np.argmax(alike.mean(axis=1)))  # people at other places than the masks make it worse
    return best if np.quantile(alike[best], 0.9) > UNMASKED else None


def _is_hidden(picture: U8, source: Frame, box: F32) -> bool:
    x1, y1, x2, y2 = (int(edge) for edge in box)
    area = (slice(y1, y2 + 1), slice(x1, x2 + 1))
    published, original = (
        _detail(np.ascontiguousarray(luma[area]), 1.5).ravel() for luma in (picture, source.planes.y)
    )
    return bool(_correlation(published, original) < MASKED)


def _frame(picture: av.VideoFrame) -> Frame:
    size = Size(picture.width, picture.height)
    i420 = np.asarray(picture.to_ndarray(format="yuv420p"), np.uint8)
    chroma = i420[size.height :].reshape(2, size.height // 2, size.width // 2)
    return Frame("demo", 0, 0, 0, 0, 0, Planes(i420[: size.height], chroma[0], chroma[1]))


if __name__ == "__main__":
    sys.exit(main())
