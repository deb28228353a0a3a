"""The command `anonymizer check`: looks at everything that `anonymizer run` needs, and says what to mend."""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from anonymizer import __version__
from anonymizer.audit import same_eyes
from anonymizer.clock import Clock, SystemClock
from anonymizer.detect.delegates import Delegate
from anonymizer.detect.engine import Engine, runtime_name
from anonymizer.detect.reach import plan_tiles
from anonymizer.detect.scout import Reach
from anonymizer.detectors import face_eye, make_detector, proofs_of, reaches_of, targets_of, try_in_quarantine
from anonymizer.encode.choose import choose_codec
from anonymizer.errors import AnonymizerError
from anonymizer.gstreamer import load_gstreamer
from anonymizer.identities import faults_of, names_of
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.pipeline.assembly import looks_per_s
from anonymizer.pipeline.lookahead import RING_BYTES
from anonymizer.pipeline.tempo import Patience, Tempo
from anonymizer.probe import Probed, probe
from anonymizer.redact.strength import weak_effects
from anonymizer.settings.schema import (
    CameraSettings,
    DetectSettings,
    ListenerSettings,
    Mode,
    PrivacySettings,
    Settings,
    TargetName,
)
from anonymizer.silhouettes import misplaced
from anonymizer.types import Frame, Planes, Size
from anonymizer.zoo import FileSpec, Zoo

USUAL_SIZES = (Size(1280, 720), Size(1920, 1080))
USUAL_FPS = 25.0
_BLACK = Frame(
    "check", 0, epoch=0, pts_ns=0, captured_ns=0, wall_ns=0,
    planes=Planes(np.zeros((720, 1280), np.uint8), *np.zeros((2, 360, 640), np.uint8)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of checking one thing."""

    ok: bool
    subject: str
    text: str  # what was found; if not ok, also what to do

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'FAIL'} {self.subject}: {self.text}"


def check(settings: Settings, *, connect: bool, clock: Clock | None = None) -> Iterator[Finding]:
    """Findings in the order of start-up; `connect` also opens every camera."""
    clock = clock or SystemClock()
    yield Finding(ok=True, subject="program", text=f"anonymizer {__version__}")
    yield _try("model runtime", runtime_name)
    models = tuple(_models(settings))
    yield from models
    if settings.cameras and all(model.ok for model in models):
        yield _try("speed", lambda: _speed(settings, clock))
    yield _try("encoder", lambda: choose_codec(settings.encode).name)
    yield from (Finding(ok=True, subject="effects", text=f"weak: {text}") for text in weak_effects(settings))
    yield from (Finding(ok=True, subject="effects", text=text) for text in misplaced(settings))
    yield from (Finding(ok=True, subject="audit", text=text) for text in same_eyes(settings))
    if settings.rtsp.enabled:
        yield _try("GStreamer", lambda: load_gstreamer().core.version_string())
        yield _port("rtsp", settings.rtsp)
    if settings.web.enabled:
        yield _port("web", settings.web)
    if reaches := reaches_of(settings):
        yield _try("tiles", lambda: _tile_costs(settings.detect, reaches, clock))
    yield from _identities(settings, clock)
    for camera in settings.cameras if connect else ():
        yield _camera(camera, camera.privacy or settings.privacy, clock)


def _try(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(ok=True, subject=subject, text=look())
    except AnonymizerError as error:
        return Finding(ok=False, subject=subject, text=str(error))


def _models(settings: Settings) -> Iterator[Finding]:
    try:
        zoo = Zoo(settings.detect.models_dir)
    except AnonymizerError as error:
        yield Finding(ok=False, subject="models", text=str(error))
        return
    for name, verify in proofs_of(settings, zoo):
        finding = _try(f"model {name}", partial(_compared, verify))
        yield finding
        if finding.ok and name in (settings.detect.face_model, settings.detect.person_model):
            yield _try(f"model {name}", partial(_run_model, zoo, name, settings.detect))


def _compared(verify: Callable[[], FileSpec]) -> str:
    return f"{verify().size_bytes / 1e6:.1f} MB, sha256 matches"


def _run_model(zoo: Zoo, name: str, settings: DetectSettings) -> str:
    spec = zoo.detectors.spec(name)
    try_in_quarantine(zoo, [name], settings)
    delegate = Delegate.of(settings)
    with Engine(
        spec.path,
        threads=settings.threads,
        mean=spec.input.mean,
        scale=spec.input.scale,
        delegate=delegate,
        size=spec.made_for,
    ) as engine:
        runs = f"runs with delegate {engine.delegate}, threads: {settings.threads}"
        return (
            runs if engine.delegate_fault is None else f"{runs}, allowed by delegate_fallback: {engine.delegate_fault}"
        )


def _identities(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Whether everybody whom a camera is to recognise is enrolled."""
    cameras = names_of(settings)
    if not cameras:
        return
    faults = faults_of(settings, clock)
    yield from (Finding(ok=False, subject="identities", text=fault) for fault in faults)
    if not faults:
        names = sorted({name for each in cameras.values() for name in each})
        yield Finding(ok=True, subject="identities", text=f"enrolled: {', '.join(names)}")


def _look_ms(settings: DetectSettings, targets: frozenset[TargetName], clock: Clock) -> float:
    """How long the models take for one picture; raises ModelError."""
    meter = PrometheusMeter(version=__version__, runtime="")
    with make_detector(settings, targets, clock=clock, meter=meter) as detector:
        detector.detect(_BLACK)  # the first look is slower
        begun_ns = clock.now_ns()
        detector.detect(_BLACK)
        return (clock.now_ns() - begun_ns) / 1e6


def _speed(settings: Settings, clock: Clock) -> str:
    """Whether the models, run on whole frames without tiles, are quick enough for every camera."""
    look_ms, count = _look_ms(settings.detect, targets_of(settings), clock), len(settings.cameras)
    slow, masked = [], []
    for camera in settings.cameras:
        privacy, fps = camera.privacy or settings.privacy, camera.max_fps or USUAL_FPS
        tempo, patience = Tempo.of(look_ms, count, _asked_per_s(camera, settings)), Patience.of(privacy)
        if tempo.period_ms <= 1000 / fps and tempo.answer_ms <= patience.held_ms:
            continue  # every picture is looked at in time
        if not patience.shows_all(tempo, strict=privacy.mode is Mode.STRICT):
            masked.append(camera.id)
        elif not patience.suffices(tempo):
            slow.append(camera.id)
    looks = f"a look takes {look_ms:.0f} ms, so each camera gets at most {1000 / max(count * look_ms, 1):.1f} a second"
    if not slow and not masked:
        return f"{looks}: enough for narrow masks in every picture"
    outcomes = []
    if masked:
        outcomes.append(
            f"pictures between two looks will be masked whole, or left out, at {', '.join(masked)}: more "
            "track.looks_per_s, or a longer privacy.max_detection_age_ms, lookahead_ms or max_wait_ms, shows them"
        )
    if slow:
        outcomes.append(f"masks will be wider, or pictures left out, at {', '.join(slow)}")
    return (
        f"slow: {looks}, so {'; '.join(outcomes)}; `anonymizer benchmark --write FILE` finds settings for this device"
    )


def _asked_per_s(camera: CameraSettings, settings: Settings) -> float:
    privacy, redact = camera.privacy or settings.privacy, camera.redact or settings.redact
    asked = looks_per_s(privacy, redact, settings.track, may_show=bool(camera.identities.names))
    return min(asked or USUAL_FPS, camera.max_fps or USUAL_FPS)


def _tile_costs(settings: DetectSettings, reaches: Mapping[str, Reach], clock: Clock) -> str:
    """What searching tiles costs each camera at usual resolutions, calculated from the time of one inference."""
    eye = face_eye(Zoo(settings.models_dir).detectors.spec(settings.face_model))
    look_ms = _look_ms(settings, frozenset({TargetName.FACE}), clock)
    budget = "in every frame" if settings.budget_ms is None else f"in turn, {settings.budget_ms} ms a frame"
    costs = []
    for camera_id, reach in reaches.items():
        plans = [plan_tiles(size, eye, reach.reach_px) for size in USUAL_SIZES]
        costs += [f"{camera_id} at {plan}, {plan.inferences * look_ms:.0f} ms, {budget}" for plan in plans]
    return "; ".join(costs)


def _port(section: str, settings: ListenerSettings) -> Finding:
    subject = f"port {settings.port} of {settings.listen}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.listen, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            remedy = f"this machine has no such address now; bring its network up, or change {section}.listen"
        elif error.errno == errno.EACCES:
            remedy = f"ports below 1024 need a privilege; choose a {section}.port of 1024 or more"
        else:
            remedy = f"stop what uses it (anonymizer itself, if it runs), or change {section}.listen or {section}.port"
        return Finding(ok=False, subject=subject, text=f"{error.strerror}; {remedy}")
    return Finding(ok=True, subject=subject, text=f"free for {section}")


def _camera(camera: CameraSettings, privacy: PrivacySettings, clock: Clock) -> Finding:
    return _try(f"camera {camera.id}", lambda: _room(probe(camera, clock), camera, privacy))


def _room(sent: Probed, camera: CameraSettings, privacy: PrivacySettings) -> str:
    """What a camera sends, and whether there is memory to hold as many frames as the look-ahead needs."""
    fps = min(sent.fps or USUAL_FPS, camera.max_fps or math.inf)
    room_ms = 1000 / fps * RING_BYTES / (sent.size.width * sent.size.height * 3 // 2)
    if privacy.effective_lookahead_ms <= room_ms:
        return str(sent)
    return (
        f"{sent}; memory for held pictures is enough for {room_ms:.0f} ms of them, so that some are left out: shorten "
        "privacy.lookahead_ms, or set the camera's max_fps"
    )
