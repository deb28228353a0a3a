"""The composition root: makes the daemon of its concrete parts, and starts, reloads and stops them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from anonymizer.audit import Audit
from anonymizer.capture import longest_silence_s, open_source, reconnects
from anonymizer.clock import Clock
from anonymizer.demo.camera import DemoCameras
from anonymizer.detectors import check_models, make_detector, reaches_of, strict_of, targets_of, track_of
from anonymizer.encode.choose import choose_codec
from anonymizer.encode.h264 import H264Encoder
from anonymizer.identities import names_of, permit_of, recognising
from anonymizer.lifecycle import Resource, close_all
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.observe.sd_notify import ServiceNotifier
from anonymizer.outputs import Outputs
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.line import CameraLine, LineParts, LineSettings
from anonymizer.pipeline.supervisor import Supervisor
from anonymizer.ports import Detector, FrameSink, PacketSink
from anonymizer.settings.schema import CameraSettings, Settings
from anonymizer.silhouettes import silhouettes_of, tracing


class Daemon(Resource):
    """Owns everything that runs; `reload` changes only what differs."""

    def __init__(self, settings: Settings, *, clock: Clock, meter: PrometheusMeter, notifier: ServiceNotifier) -> None:
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._notifier = notifier
        self._inference = InferenceStage(self._detector_maker(settings), meter, clock)
        self._demos = DemoCameras()
        self._supervisor = Supervisor(self._inference, notifier, clock)
        self._outputs = Outputs(settings, board=self._supervisor, meter=meter, clock=clock)
        self._make_encoder: Callable[[str], H264Encoder] | None = None
        self._audit: Audit | None = None

    def start(self) -> None:
        """Check the models, open the listeners, then start the cameras; raises an AnonymizerError."""
        check_models(self._settings)
        self._make_encoder = self._encoder_maker(self._settings)
        self._outputs.start()
        self._start_audit()
        self._inference.start()
        self._supervisor.start()
        for camera in self._settings.cameras:
            self._add(camera)
        self._notifier.ready()
        self._say_status()

    def close(self) -> None:
        """Stop the cameras, then the models, then everything else at once; idempotent."""
        self._notifier.stopping()
        self._supervisor.close()
        self._inference.close()
        # One after another they could take longer than systemd waits before it kills us (TimeoutStopSec=).
        close_all(part for part in (self._outputs, self._audit, self._demos) if part is not None)
        self._audit = None

    def reload(self, new: Settings) -> None:
        """Go over to other settings; cameras whose settings stay keep streaming.

        Raises PublishError if a listener does not start: all else is in force, and the next reload tries that again.
        Raises another AnonymizerError if nothing was changed.
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
        """Change the cameras first, which cannot fail, then the listeners, which may."""
        old, self._settings = self._settings, new
        self._outputs.use(new)
        if _of_the_detector(new) != _of_the_detector(old):
            self._inference.replace_detector(self._detector_maker(new))
        if (new.audit, new.detect) != (old.audit, old.detect):
            self._stop_audit()
            self._start_audit()
        self._change_cameras(old, new)
        self._outputs.change_listeners()

    def _change_cameras(self, old: Settings, new: Settings) -> None:
        """Remove, add or replace what differs; another push target means new outputs, so the camera is added anew."""
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
                self._supervisor.add(self._make_line(camera))
        self._supervisor.reorder([camera.id for camera in new.cameras])
        self._demos.keep({camera.url for camera in new.cameras})

    def _add(self, camera: CameraSettings) -> None:
        self._meter.remember(camera.id)
        self._outputs.add(camera)
        self._supervisor.add(self._make_line(camera))

    def _remove(self, camera_id: str) -> None:
        self._supervisor.remove(camera_id)
        self._outputs.remove(camera_id)
        self._meter.forget(camera_id)

    def _make_line(self, camera: CameraSettings) -> CameraLine:
        assert self._make_encoder is not None  # noqa: S101 - start() comes first
        privacy = camera.privacy or self._settings.privacy
        packets: PacketSink = self._outputs.hub(camera.id)
        views: tuple[FrameSink, ...] = (self._outputs.preview,) if self._settings.web.enabled else ()
        if self._audit is not None and privacy.masks_every_face:
            # The tap comes before the line whose pictures it sees, so it finds the line by name when it needs it.
            tap = self._audit.tap(packets, lambda finding: line.on_finding(finding))
            packets, views = tap, (*views, tap)
        line = CameraLine(
            camera.id,
            LineSettings(
                privacy=privacy,
                redact=camera.redact or self._settings.redact,
                track=track_of(self._settings, camera.id),
                silence_limit_s=longest_silence_s(camera),
                reconnects=reconnects(camera),
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

    def _say_status(self) -> None:
        self._notifier.status(f"{len(self._settings.cameras)} cameras, only redacted pictures leave")


def _of_the_detector(settings: Settings) -> tuple[object, ...]:
    """All settings that the detector depends on."""
    extras = names_of(settings), settings.identify, silhouettes_of(settings)
    return settings.detect, targets_of(settings), reaches_of(settings), strict_of(settings), extras


def _of_every_line(settings: Settings) -> tuple[object, ...]:
    """The sections that the stages of every camera depend on, besides the camera's own."""
    return settings.encode, settings.track, settings.web, settings.audit, settings.detect, settings.identify
