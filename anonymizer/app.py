"""The composition root: which concrete parts make up the daemon, and how they start, reload and stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from anonymizer import __version__
from anonymizer.audit import Audit
from anonymizer.capture import longest_silence_s, open_source
from anonymizer.clock import Clock
from anonymizer.demo.camera import DemoCameras
from anonymizer.detectors import check_models, make_detector, reaches_of, strict_of, targets_of, track_of
from anonymizer.encode.choose import choose_codec
from anonymizer.encode.h264 import H264Encoder
from anonymizer.errors import AnonymizerError, PublishError
from anonymizer.identities import names_of, permit_of, recognising
from anonymizer.lifecycle import Resource
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.observe.sd_notify import ServiceNotifier
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.line import CameraLine, LineParts, LineSettings
from anonymizer.pipeline.supervisor import Supervisor
from anonymizer.ports import Detector, FrameSink, PacketSink
from anonymizer.publish.hub import Hub
from anonymizer.publish.push import Pusher
from anonymizer.publish.rtsp_server import RtspServer
from anonymizer.settings.schema import CameraSettings, RtspSettings, Settings, WebSettings
from anonymizer.silhouettes import silhouettes_of, tracing
from anonymizer.web.preview import PreviewStore
from anonymizer.web.server import WebServer
from anonymizer.web.site import RtspAddress

log = logging.getLogger(__name__)


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
        self._audit: Audit | None = None
        self._rtsp: RtspServer | None = None
        self._rtsp_with: RtspSettings | None = None  # what it was started with; None: it is down
        self._web: WebServer | None = None
        self._web_with: tuple[WebSettings, RtspAddress | None] | None = None
        self._outputs: dict[str, _Outputs] = {}

    def start(self) -> None:
        """Check the models, open the listeners, then start the cameras; raises an AnonymizerError."""
        check_models(self._settings)
        self._make_encoder = self._encoder_maker(self._settings)
        self._start_rtsp()
        self._start_web()
        self._start_audit()
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
        self._stop_audit()
        self._stop_rtsp()
        self._stop_web()
        self._demos.close()

    def reload(self, new: Settings) -> None:
        """Go over to other settings; cameras that they do not touch keep streaming.

        Raises PublishError for listeners that are down now, which every reload tries again: all else is in force.
        Raises another AnonymizerError where nothing was changed.
        """
        self._notifier.reloading()
        try:
            check_models(new)
            if new.encode != self._settings.encode:
                self._make_encoder = self._encoder_maker(new)
            self._apply(new)
        finally:
            self._notifier.ready()
            self._say_status()

    def _apply(self, new: Settings) -> None:
        """Cameras first, which cannot fail; then the listeners, each compared with what it was really started with."""
        old, self._settings = self._settings, new
        if _of_the_detector(new) != _of_the_detector(old):
            self._inference.replace_detector(self._detector_maker(new))
        if new.web != old.web:
            self._preview = _preview_for(new)
        if (new.audit, new.detect) != (old.audit, old.detect):
            self._stop_audit()
            self._start_audit()
        self._change_cameras(old, new)
        self._change_listeners()

    def _change_listeners(self) -> None:
        """Close all that are out of date before any starts: they may swap ports. One that fails stops no other."""
        rtsp_is_stale = self._rtsp_with != _rtsp_of(self._settings)
        web_is_stale = self._web_with != _web_of(self._settings)
        if rtsp_is_stale:
            self._stop_rtsp()
        if web_is_stale:
            self._stop_web()
        troubles = []
        for is_stale, start in ((rtsp_is_stale, self._start_rtsp), (web_is_stale, self._start_web)):
            try:
                if is_stale:
                    start()
            except AnonymizerError as error:
                troubles.append(str(error))
        if troubles:
            raise PublishError("\n".join(troubles))

    def _change_cameras(self, old: Settings, new: Settings) -> None:
        all_new = _of_every_line(new) != _of_every_line(old)
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
        privacy = camera.privacy or self._settings.privacy
        packets: PacketSink = hub
        views: tuple[FrameSink, ...] = (self._preview,) if self._settings.web.enabled else ()
        if self._audit is not None and privacy.masks_every_face:
            tap = self._audit.tap(hub, lambda finding: line.on_finding(finding))
            packets, views = tap, (*views, tap)
        line = CameraLine(
            camera.id,
            LineSettings(
                privacy=privacy,
                redact=camera.redact or self._settings.redact,
                track=track_of(self._settings, camera.id),
                silence_limit_s=longest_silence_s(camera),
                reconnects=camera.loop or not camera.url.startswith("file:"),
                permit=permit_of(camera.identities, self._settings.identify),
            ),
            LineParts(
                open_source=lambda epoch, seq: open_source(
                    camera, epoch=epoch, first_seq=seq, clock=self._clock, meter=self._meter, demo=self._demos
                ),
                make_encoder=partial(self._make_encoder, camera.id),
                packets=packets,
                views=views,
            ),
            inference=self._inference,
            meter=self._meter,
            clock=self._clock,
        )
        return line

    def _encoder_maker(self, settings: Settings) -> Callable[[str], H264Encoder]:
        codec = choose_codec(settings.encode)
        return lambda camera_id: H264Encoder(camera_id, settings.encode, codec=codec)

    def _detector_maker(self, settings: Settings) -> Callable[[], Detector]:
        def make() -> Detector:
            detector = make_detector(
                settings.detect,
                targets_of(settings),
                reaches=reaches_of(settings),
                strict=strict_of(settings),
                clock=self._clock,
                meter=self._meter,
            )
            drawing = tracing(detector, settings, clock=self._clock, meter=self._meter)
            return recognising(drawing, settings, clock=self._clock, meter=self._meter)

        return make

    def _start_audit(self) -> None:
        if self._settings.audit.enabled:
            self._audit = Audit(self._settings, clock=self._clock, meter=self._meter)
            self._audit.start()

    def _stop_audit(self) -> None:
        if self._audit is not None:
            self._audit.close()
            self._audit = None

    def _start_rtsp(self) -> None:
        wanted = _rtsp_of(self._settings)
        if wanted is not None:
            server = RtspServer(wanted, meter=self._meter)
            server.start()
            for camera_id, outputs in self._outputs.items():
                server.mount(camera_id, outputs.hub)
            self._rtsp, self._rtsp_with = server, wanted

    def _stop_rtsp(self) -> None:
        if self._rtsp is not None:
            self._rtsp.close()
            self._rtsp = self._rtsp_with = None

    def _start_web(self) -> None:
        wanted = _web_of(self._settings)
        if wanted is not None:
            settings, rtsp = wanted
            server = WebServer(
                settings,
                board=self._supervisor,
                preview=self._preview,
                exposition=self._meter.exposition,
                meter=self._meter,
                clock=self._clock,
                version=__version__,
                rtsp=rtsp,
            )
            server.start()
            self._web, self._web_with = server, wanted

    def _stop_web(self) -> None:
        if self._web is not None:
            self._web.close()
            self._web = self._web_with = None

    def _say_status(self) -> None:
        self._notifier.status(f"{len(self._settings.cameras)} cameras, only redacted pictures leave")


def _of_the_detector(settings: Settings) -> tuple[object, ...]:
    """What the detector is made from."""
    extras = names_of(settings), settings.identify, silhouettes_of(settings)
    return settings.detect, targets_of(settings), reaches_of(settings), strict_of(settings), extras


def _of_every_line(settings: Settings) -> tuple[object, ...]:
    """The sections that each camera's stages depend on."""
    return settings.encode, settings.track, settings.web, settings.audit, settings.detect, settings.identify


def _rtsp_of(settings: Settings) -> RtspSettings | None:
    """What the RTSP server is made from; None: there is to be none."""
    return settings.rtsp if settings.rtsp.enabled else None


def _web_of(settings: Settings) -> tuple[WebSettings, RtspAddress | None] | None:
    """What the web server is made from, with the address that it shows; None: there is to be none."""
    rtsp = _rtsp_of(settings)
    address = None if rtsp is None else RtspAddress(rtsp.listen, rtsp.port)
    return (settings.web, address) if settings.web.enabled else None


def _preview_for(settings: Settings) -> PreviewStore:
    return PreviewStore(quality=settings.web.mjpeg_quality, max_width_px=settings.web.mjpeg_max_width)


def _close_outputs(outputs: _Outputs) -> None:
    if outputs.pusher is not None:
        outputs.pusher.close()
    outputs.hub.close()
