"""The composition root: which concrete parts make up the daemon, and how they start, reload and stop."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import cv2

from anonymizer import __version__
from anonymizer.capture import open_source
from anonymizer.clock import Clock, SystemClock
from anonymizer.demo.camera import DemoCameras
from anonymizer.detect.delegates import Delegate
from anonymizer.detect.detector import CompositeDetector, DetectorModel, Limits, TfliteDetector
from anonymizer.detect.engine import runtime_name
from anonymizer.detect.reach import Eye
from anonymizer.detect.scout import Reach, Scout
from anonymizer.detect.self_test import SelfTest
from anonymizer.encode.choose import choose_codec
from anonymizer.encode.h264 import H264Encoder
from anonymizer.errors import AnonymizerError, ModelError, SettingsError
from anonymizer.lifecycle import Resource
from anonymizer.observe.log import configure
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.observe.sd_notify import ServiceNotifier
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.line import CameraLine, LineParts, LineSettings
from anonymizer.pipeline.supervisor import Supervisor
from anonymizer.ports import Detector, Meter
from anonymizer.publish.hub import Hub
from anonymizer.publish.push import Pusher
from anonymizer.publish.rtsp_server import RtspServer
from anonymizer.settings.load import load_settings
from anonymizer.settings.schema import CameraSettings, DetectSettings, Settings, TargetName
from anonymizer.types import Size
from anonymizer.web.preview import PreviewStore
from anonymizer.web.server import WebServer
from anonymizer.web.site import RtspAddress
from anonymizer.zoo import ModelSpec, Order, Zoo

log = logging.getLogger(__name__)

_TIMEOUT_SLACK_S = 5.0  # what a capture thread may need beyond its own time-outs


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What stays when a camera's line is replaced: viewers keep their connection."""

    hub: Hub
    pusher: Pusher | None


class Daemon(Resource):
    """Everything that runs; `reload` changes only what differs."""

    def __init__(self, settings: Settings, *, clock: Clock, meter: PrometheusMeter, notifier: ServiceNotifier) -> None:
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._notifier = notifier
        self._preview = _preview_for(settings)
        self._inference = InferenceStage(self._detector_maker(settings), meter, clock)
        self._demos = DemoCameras()
        self._supervisor = Supervisor(self._inference, notifier, clock)
        self._make_encoder: Callable[[str], H264Encoder] | None = None
        self._rtsp: RtspServer | None = None
        self._web: WebServer | None = None
        self._outputs: dict[str, _Outputs] = {}

    def start(self) -> None:
        """Check the models, open the listeners, then start the cameras; raises an AnonymizerError."""
        _check_models(self._settings)
        self._make_encoder = self._encoder_maker(self._settings)
        self._start_rtsp()
        self._start_web()
        self._inference.start()
        self._supervisor.start()
        for camera in self._settings.cameras:
            self._add(camera)
        self._notifier.ready()
        self._say_status()

    def close(self) -> None:
        """Stop the cameras first, then the outputs; idempotent."""
        self._notifier.stopping()
        self._supervisor.close()
        self._inference.close()
        for outputs in self._outputs.values():
            _close_outputs(outputs)
        self._outputs.clear()
        if self._rtsp is not None:
            self._rtsp.close()
        if self._web is not None:
            self._web.close()
        self._demos.close()

    def reload(self, new: Settings) -> None:
        """Go over to other settings; cameras that they do not touch keep streaming. Raises an AnonymizerError."""
        self._notifier.reloading()
        try:
            _check_models(new)
            self._apply(new)
        finally:
            self._notifier.ready()
            self._say_status()

    def _apply(self, new: Settings) -> None:
        """Cameras first, which cannot fail; a listener that does not start is down, and tried again at every reload."""
        old, self._settings = self._settings, new
        if (new.detect, _targets(new), reaches_of(new)) != (old.detect, _targets(old), reaches_of(old)):
            self._inference.replace_detector(self._detector_maker(new))
        if new.encode != old.encode:
            self._make_encoder = self._encoder_maker(new)
        if new.web != old.web:
            self._preview = _preview_for(new)
        self._change_cameras(old, new)
        web_is_stale = (new.web, new.rtsp) != (old.web, old.rtsp) or (new.web.enabled and self._web is None)
        if new.rtsp != old.rtsp or (new.rtsp.enabled and self._rtsp is None):
            self._restart_rtsp()
        if web_is_stale:
            self._restart_web()

    def _change_cameras(self, old: Settings, new: Settings) -> None:
        all_new = (new.encode, new.track, new.web) != (old.encode, old.track, old.web)
        before = {camera.id: camera for camera in old.cameras}
        after = {camera.id: camera for camera in new.cameras}
        for camera_id in before.keys() - after.keys():
            self._remove(camera_id)
        for camera in new.cameras:
            known = before.get(camera.id)
            if known is None:
                self._add(camera)
            elif known.push_url != camera.push_url:
                self._remove(camera.id)
                self._add(camera)
            elif all_new or known != camera:
                self._supervisor.remove(camera.id)
                self._supervisor.add(self._make_line(camera, self._outputs[camera.id].hub))
        self._supervisor.reorder([camera.id for camera in new.cameras])

    def _add(self, camera: CameraSettings) -> None:
        self._meter.remember(camera.id)
        hub = Hub(camera.id, self._meter)
        pusher = None
        if camera.push_url is not None:
            pusher = Pusher(camera.id, camera.push_url, hub, meter=self._meter, clock=self._clock)
            pusher.start()
        self._outputs[camera.id] = _Outputs(hub, pusher)
        if self._rtsp is not None:
            self._rtsp.mount(camera.id, hub)
        self._supervisor.add(self._make_line(camera, hub))

    def _remove(self, camera_id: str) -> None:
        self._supervisor.remove(camera_id)
        if self._rtsp is not None:
            self._rtsp.unmount(camera_id)
        _close_outputs(self._outputs.pop(camera_id))
        self._preview.forget(camera_id)
        self._meter.forget(camera_id)

    def _make_line(self, camera: CameraSettings, hub: Hub) -> CameraLine:
        assert self._make_encoder is not None  # noqa: S101 - start() comes first
        return CameraLine(
            camera.id,
            LineSettings(
                privacy=camera.privacy or self._settings.privacy,
                redact=camera.redact or self._settings.redact,
                track=self._settings.track,
                silence_limit_s=camera.open_timeout_s + camera.read_timeout_s + _TIMEOUT_SLACK_S,
                reconnects=camera.loop or not camera.url.startswith("file:"),
            ),
            LineParts(
                open_source=lambda epoch, seq: open_source(
                    camera, epoch=epoch, first_seq=seq, clock=self._clock, meter=self._meter, demo=self._demos
                ),
                make_encoder=partial(self._make_encoder, camera.id),
                packets=hub,
                views=(self._preview,) if self._settings.web.enabled else (),
            ),
            inference=self._inference,
            meter=self._meter,
            clock=self._clock,
        )

    def _encoder_maker(self, settings: Settings) -> Callable[[str], H264Encoder]:
        codec = choose_codec(settings.encode)
        return lambda camera_id: H264Encoder(camera_id, settings.encode, codec=codec)

    def _detector_maker(self, settings: Settings) -> Callable[[], Detector]:
        return partial(
            make_detector,
            settings.detect,
            _targets(settings),
            reaches=reaches_of(settings),
            clock=self._clock,
            meter=self._meter,
        )

    def _start_rtsp(self) -> None:
        settings = self._settings.rtsp
        if settings.enabled:
            server = RtspServer(settings, meter=self._meter)
            server.start()
            for camera_id, outputs in self._outputs.items():
                server.mount(camera_id, outputs.hub)
            self._rtsp = server

    def _restart_rtsp(self) -> None:
        if self._rtsp is not None:
            self._rtsp.close()
            self._rtsp = None
        self._start_rtsp()

    def _start_web(self) -> None:
        settings, rtsp = self._settings.web, self._settings.rtsp
        if settings.enabled:
            self._web = WebServer(
                settings,
                board=self._supervisor,
                preview=self._preview,
                exposition=self._meter.exposition,
                meter=self._meter,
                clock=self._clock,
                version=__version__,
                rtsp=RtspAddress(rtsp.listen, rtsp.port) if rtsp.enabled else None,
            )
            self._web.start()

    def _restart_web(self) -> None:
        if self._web is not None:
            self._web.close()
            self._web = None
        self._start_web()

    def _say_status(self) -> None:
        self._notifier.status(f"{len(self._settings.cameras)} cameras, only redacted pictures leave")


def make_detector(
    settings: DetectSettings,
    targets: frozenset[TargetName],
    *,
    reaches: Mapping[str, Reach] = MappingProxyType({}),
    clock: Clock,
    meter: Meter,
) -> CompositeDetector:
    """A detector for each target; the manifest is read anew, so that a repaired models folder is picked up.

    `reaches` are those of the cameras, by id, that look for faces in tiles as well; persons are large enough to be
    found in the whole frame, and tiles cut them apart.
    Raises ModelError for a model that is unknown, missing or altered.
    """
    zoo = Zoo(settings.models_dir)
    wanted = {
        TargetName.FACE: (settings.face_model, settings.face_threshold),
        TargetName.PERSON: (settings.person_model, settings.person_threshold),
    }
    detectors = []
    for target in sorted(targets):
        name, threshold = wanted[target]
        spec = zoo.verify(name)
        limits = Limits(threshold=threshold, nms_iou=settings.nms_iou, max_detections=settings.max_detections)
        delegate = Delegate.of(settings)
        scout = None
        if target is TargetName.FACE and reaches:
            scout = Scout(face_eye(spec), reaches, budget_ms=settings.budget_ms)
        detectors.append(
            TfliteDetector(
                detector_model(spec),
                limits,
                threads=settings.threads,
                delegate=delegate,
                clock=clock,
                meter=meter,
                scout=scout,
            )
        )
    return CompositeDetector(detectors)


def detector_model(spec: ModelSpec) -> DetectorModel:
    """What the detector must know of a model of the manifest."""
    return DetectorModel(
        name=spec.name,
        path=spec.path,
        family=spec.family,
        targets=spec.classes,
        size=Size(spec.input.width, spec.input.height),
        fit=spec.input.fit,
        mean=spec.input.mean,
        scale=spec.input.scale,
        bgr=spec.input.order is Order.BGR,
        self_test=None if spec.self_test is None else SelfTest(**dict(spec.self_test)),
    )


def face_eye(spec: ModelSpec) -> Eye:
    """What the planner of tiles must know of a face model; raises ModelError where the manifest does not say it."""
    if spec.min_face_px is None:
        raise ModelError(
            f"model {spec.name} cannot search tiles: its entry in the manifest lacks min_face_px, the height in input "
            "pixels of the smallest face that it finds well; measure and add it, or leave out reach_px"
        )
    return Eye(Size(spec.input.width, spec.input.height), spec.input.fit, spec.min_face_px)


def reaches_of(settings: Settings) -> dict[str, Reach]:
    """The cameras, by id, whose faces are searched in tiles."""
    reaches = {}
    for camera in settings.cameras:
        privacy, reach_px = camera.privacy or settings.privacy, camera.reach_px or settings.detect.reach_px
        if reach_px is not None and TargetName.FACE in privacy.targets:
            reaches[camera.id] = Reach(reach_px, privacy.max_detection_age_ms, privacy.hold_ms)
    return reaches


def _targets(settings: Settings) -> frozenset[TargetName]:
    """What any camera masks: models that nobody needs are not run."""
    sections = [camera.privacy or settings.privacy for camera in settings.cameras] or [settings.privacy]
    return frozenset(target for section in sections for target in section.targets)


def _check_models(settings: Settings) -> None:
    """Raises ModelError for a model that is unknown, missing or altered, or cannot be tiled though it must be."""
    zoo = Zoo(settings.detect.models_dir)
    for name in (settings.detect.face_model, settings.detect.person_model):
        zoo.verify(name)
    if reaches_of(settings):
        face_eye(zoo.spec(settings.detect.face_model))


def _preview_for(settings: Settings) -> PreviewStore:
    return PreviewStore(quality=settings.web.mjpeg_quality, max_width_px=settings.web.mjpeg_max_width)


def _close_outputs(outputs: _Outputs) -> None:
    if outputs.pusher is not None:
        outputs.pusher.close()
    outputs.hub.close()


def run(settings_path: Path) -> int:
    """Run until SIGTERM or SIGINT, reload on SIGHUP; returns the exit status. Raises an AnonymizerError at start."""
    settings = load_settings(settings_path)
    configure(settings.log)
    cv2.setNumThreads(1)  # our threads are the cameras; OpenCV's own would only fight over the cores
    clock = SystemClock()
    meter = PrometheusMeter(version=__version__, runtime=runtime_name())
    signals = _signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    daemon = Daemon(settings, clock=clock, meter=meter, notifier=ServiceNotifier.from_environment(clock))
    with daemon:
        log.info("anonymizer %s runs with %d cameras", __version__, len(settings.cameras))
        while next(signals) == signal.SIGHUP:
            _reload(daemon, settings_path)
    log.info("stopped")
    return 0


def _signals(*numbers: signal.Signals) -> Iterator[int]:
    """Waits for these signals, one at a time.

    Through a socket, because the kernel may hand a signal to any thread, and then nothing wakes a main thread that
    waits for a lock.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)  # noqa: FBT003 - the standard library's signature
    for number in numbers:
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer.fileno())

    def arriving() -> Iterator[int]:
        with reader, writer:
            while True:
                yield reader.recv(1)[0]

    return arriving()


def _reload(daemon: Daemon, settings_path: Path) -> None:
    try:
        settings = load_settings(settings_path)
    except SettingsError as error:
        log.error("the settings were not reloaded, the old ones stay in force:\n%s", error)
        return
    configure(settings.log)
    try:
        daemon.reload(settings)
    except AnonymizerError as error:
        log.error("the settings could not be applied as a whole: %s", error)
    else:
        log.info("settings reloaded, %d cameras", len(settings.cameras))
