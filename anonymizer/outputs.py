"""Where redacted streams go: a hub and perhaps a push for each camera, one RTSP server and one web server for all."""

from __future__ import annotations

from dataclasses import dataclass

from anonymizer import __version__
from anonymizer.clock import Clock
from anonymizer.errors import AnonymizerError, PublishError
from anonymizer.lifecycle import Resource, close_all
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.ports import StatusBoard
from anonymizer.publish.hub import Hub
from anonymizer.publish.push import Pusher
from anonymizer.publish.rtsp_server import RtspServer
from anonymizer.settings.schema import CameraSettings, RtspSettings, Settings, WebSettings
from anonymizer.web.preview import PreviewStore
from anonymizer.web.server import WebServer
from anonymizer.web.site import RtspAddress


@dataclass(frozen=True, slots=True)
class _CameraOutputs:
    """The outputs of one camera; they stay when its stages are replaced, so that viewers keep their connection."""

    hub: Hub
    pusher: Pusher | None


class Outputs(Resource):
    """Owns all outputs; `change_listeners` restarts only the servers whose settings differ from those they run with."""

    def __init__(self, settings: Settings, *, board: StatusBoard, meter: PrometheusMeter, clock: Clock) -> None:
        self._settings = settings
        self._board = board
        self._meter = meter
        self._clock = clock
        self._preview = _preview_for(settings)
        self._cameras: dict[str, _CameraOutputs] = {}
        self._rtsp: RtspServer | None = None
        self._rtsp_with: RtspSettings | None = None  # the settings it runs with; None: it is down
        self._web: WebServer | None = None
        self._web_with: tuple[WebSettings, RtspAddress | None] | None = None  # likewise

    @property
    def preview(self) -> PreviewStore:
        """Where the cameras put the pictures that the web server shows."""
        return self._preview

    def start(self) -> None:
        """Open the RTSP and the web server; raises PublishError or LibraryError."""
        self._start_rtsp()
        self._start_web()

    def close(self) -> None:
        """End all pushes at once, then the hubs and the servers; idempotent."""
        cameras, self._cameras = self._cameras, {}
        close_all(each.pusher for each in cameras.values() if each.pusher is not None)
        for each in cameras.values():
            each.hub.close()
        self._stop_rtsp()
        self._stop_web()

    def add(self, camera: CameraSettings) -> None:
        """Make the outputs of a new camera and offer its stream."""
        hub = Hub(camera.id, self._meter)
        pusher = None
        if camera.push_url is not None:
            pusher = Pusher(camera.id, camera.push_url, hub, meter=self._meter, clock=self._clock)
            pusher.start()
        self._cameras[camera.id] = _CameraOutputs(hub, pusher)
        if self._rtsp is not None:
            self._rtsp.mount(camera.id, hub)

    def remove(self, camera_id: str) -> None:
        """Hang up on the camera's viewers and end its outputs."""
        if self._rtsp is not None:
            self._rtsp.unmount(camera_id)
        outputs = self._cameras.pop(camera_id)
        if outputs.pusher is not None:
            outputs.pusher.close()
        outputs.hub.close()
        self._preview.forget(camera_id)

    def hub(self, camera_id: str) -> Hub:
        """Where the camera's encoder puts its packets."""
        return self._cameras[camera_id].hub

    def use(self, settings: Settings) -> None:
        """Take over new settings; the running servers keep theirs until `change_listeners`."""
        if settings.web != self._settings.web:
            self._preview = _preview_for(settings)
        self._settings = settings

    def change_listeners(self) -> None:
        """Restart the servers whose settings changed, and try again those that are down.

        Closes all that are out of date before any starts, because they may swap ports. One that fails stops no other.
        Raises PublishError with the reasons of all that failed.
        """
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

    def _start_rtsp(self) -> None:
        wanted = _rtsp_of(self._settings)
        if wanted is not None:
            server = RtspServer(wanted, meter=self._meter)
            server.start()
            for camera_id, outputs in self._cameras.items():
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
                board=self._board,
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


def _rtsp_of(settings: Settings) -> RtspSettings | None:
    """The settings of the RTSP server; None: it is switched off."""
    return settings.rtsp if settings.rtsp.enabled else None


def _web_of(settings: Settings) -> tuple[WebSettings, RtspAddress | None] | None:
    """The settings of the web server and the RTSP address that it shows; None: it is switched off."""
    rtsp = _rtsp_of(settings)
    address = None if rtsp is None else RtspAddress(rtsp.listen, rtsp.port)
    return (settings.web, address) if settings.web.enabled else None


def _preview_for(settings: Settings) -> PreviewStore:
    return PreviewStore(quality=settings.web.mjpeg_quality, max_width_px=settings.web.mjpeg_max_width)
