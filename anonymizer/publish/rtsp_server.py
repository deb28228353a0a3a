"""The built-in RTSP server: one shared mount a camera, over TCP and UDP."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

from anonymizer.errors import PublishError
from anonymizer.gstreamer import GStreamer, load_gstreamer
from anonymizer.lifecycle import Resource
from anonymizer.ports import Meter
from anonymizer.publish.feed import Feed
from anonymizer.publish.hub import Hub
from anonymizer.publish.rtsp_login import ROLE, camera_of, digest_login
from anonymizer.settings.schema import RtspSettings

_LOG = logging.getLogger(__name__)

OUTPUT = "rtsp"  # label in the metrics
_QUEUE_PACKETS = 60  # of one mount; viewers that are too slow have a queue each inside GStreamer
_SPARE_CONNECTIONS = 32  # besides those of viewers: each has descriptors and a thread, watching or not
_STALL_S = 10.0  # a viewer that takes nothing for so long is cut off by the kernel
_EXPIRY_S = 5  # how often sessions of viewers that vanished are looked for
_LINGER_S = 10  # a connection whose session ended, as that of a UDP viewer that vanished, is then hung up on
_BODY_BYTES = 65_536  # the longest body of a request: GStreamer would take 2 GB into memory, from anybody
_JOIN_S = 2.0
# The encoder puts parameter sets before every key frame, so the payloader need not. What waits is bounded to 0.5 s.
_LAUNCH = (
    "( appsrc name=source is-live=true format=time max-bytes=2000000 max-buffers=0 max-time=500000000"
    " caps=video/x-h264,stream-format=byte-stream,alignment=au"
    " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=0 aggregate-mode=zero-latency )"
)


@dataclass(slots=True)
class _Mount:
    hub: Hub
    factory: Any
    handler: int
    media: Any = None  # made for the first viewer, shared and kept for all later ones
    feed: Feed | None = None
    held: bool = False


@dataclass(slots=True)
class _Client:
    connection: Any  # gi.repository.Gio.Socket
    playing: set[str] = field(default_factory=set)  # cameras
    sessions: set[str] = field(default_factory=set)  # their ids


class RtspServer(Resource):
    """Serves `rtsp://listen:port/<camera_id>`; mounts come and go while it runs. Digest auth if a password is set.

    While nobody watches a mount, only key frames are pulled from its hub. Each viewer has a bounded backlog
    of its own; one that reads nothing for 10 s is cut off, and the others do not notice. Connections beyond
    `max_clients` and 32 more are hung up on.
    """

    def __init__(self, settings: RtspSettings, meter: Meter) -> None:
        self._settings = settings
        self._meter = meter
        self._lock = threading.Condition()
        self._mounts: dict[str, _Mount] = {}
        self._clients: dict[Any, _Client] = {}
        self._gst: GStreamer | None = None
        self._server: Any = None
        self._context: Any = None
        self._sources: list[Any] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on, also if the settings leave the choice to the system (0)."""
        return int(self._server.get_bound_port())

    def start(self) -> None:
        """Bind and serve; raises LibraryError without GStreamer, PublishError if the port or address is refused."""
        settings = self._settings
        if not settings.loopback and not settings.password:
            raise PublishError(
                f"rtsp.listen: {settings.listen} lets other machines connect; set rtsp.username and rtsp.password_file "
                "or listen on 127.0.0.1"
            )
        self._gst = gst = load_gstreamer()
        self._context = gst.glib.MainContext.new()
        self._server = server = gst.server.RTSPServer.new()
        server.set_address(settings.listen)
        server.set_service(str(settings.port))
        server.set_content_length_limit(_BODY_BYTES)
        threads = gst.server.RTSPThreadPool.new()
        threads.set_max_threads(-1)  # a thread a connection: one that waits for a silent camera delays nobody
        server.set_thread_pool(threads)
        sessions = gst.server.RTSPSessionPool.new()
        sessions.set_max_sessions(settings.max_clients)
        server.set_session_pool(sessions)
        if settings.username and settings.password:
            password = settings.password.get_secret_value()
            server.set_auth(digest_login(gst, settings.username, password, self._mounts.__contains__))
        server.connect("client-connected", self._on_connected)
        try:
            listener = server.create_source(None)
        except gst.glib.Error as error:
            self._server = None
            raise PublishError(_bind_trouble(settings, error.message)) from error
        expiry = gst.glib.timeout_source_new_seconds(_EXPIRY_S)
        expiry.set_callback(lambda _data: bool(sessions.cleanup()) or True)
        self._sources = [listener, expiry]
        for source in self._sources:
            source.attach(self._context)
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="rtsp-server", daemon=True)
        self._thread.start()
        _LOG.info("RTSP server on %s port %s", settings.listen, self.port)

    def mount(self, camera_id: str, hub: Hub) -> None:
        """Offer `/<camera_id>` from now on."""
        with self._lock:
            self._offer(camera_id, hub)

    def _offer(self, camera_id: str, hub: Hub) -> None:
        """Under the lock, so that our table of mounts and GStreamer's never differ."""
        gst = self._running()
        factory = _one_media_of(gst.server.RTSPMediaFactory)()
        factory.set_launch(_LAUNCH)
        factory.set_shared(True)
        factory.set_protocols(gst.rtsp.RTSPLowerTrans.TCP | gst.rtsp.RTSPLowerTrans.UDP)
        allowed = gst.core.Structure.new_empty(ROLE)
        for permission in ("media.factory.access", "media.factory.construct"):
            allowed.set_value(permission, True)  # noqa: FBT003 - GStreamer's signature
        factory.add_role_from_structure(allowed)
        handler = factory.connect("media-configure", lambda factory, media: self._on_media(camera_id, factory, media))
        self._mounts[camera_id] = _Mount(hub, factory, handler)
        self._server.get_mount_points().add_factory(f"/{camera_id}", factory)

    def unmount(self, camera_id: str) -> None:
        """Take `/<camera_id>` away and hang up on its viewers; does nothing if it is not mounted."""
        with self._lock:
            mount = self._mounts.pop(camera_id, None)
            if mount is None:
                return
            self._server.get_mount_points().remove_factory(f"/{camera_id}")
            viewers = self._viewers(camera_id)
        self._take_down(mount, viewers)

    def _take_down(self, mount: _Mount, viewers: list[Any]) -> None:
        """End what is offered no longer, and hang up on those who watch it."""
        mount.factory.disconnect(mount.handler)
        if mount.feed is not None:
            mount.feed.close()
        if mount.media is not None and not mount.held:
            self._fail(mount.media)
        self._hang_up(viewers)
        if mount.held:
            mount.media.unprepare()

    def close(self) -> None:
        """Hang up on everybody and free the port; idempotent."""
        if self._server is None:
            return
        for source in self._sources:
            source.destroy()
        for camera_id in list(self._mounts):
            self.unmount(camera_id)
        self._hang_up(list(self._clients))
        self._stop.set()
        self._context.wakeup()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
        self._sources = []
        self._server = self._context = self._gst = self._thread = None

    def _run(self) -> None:
        self._context.push_thread_default()
        while not self._stop.is_set():
            self._context.iteration(True)  # noqa: FBT003 - may block; close wakes it
        self._context.pop_thread_default()

    def _running(self) -> GStreamer:
        if self._gst is None:
            raise PublishError("the RTSP server is not running; call start first")
        return self._gst

    def _hang_up(self, clients: list[Any]) -> None:
        """Cut connections; each is then closed by GStreamer in the thread that owns it, which is waited for."""
        with self._lock:
            connections = [self._clients[client].connection for client in clients if client in self._clients]
        for connection in connections:
            with contextlib.suppress(self._running().glib.Error):  # gone already
                connection.shutdown(True, True)  # noqa: FBT003 - GStreamer's signature
        with self._lock:
            self._lock.wait_for(lambda: not any(client in self._clients for client in clients), _JOIN_S)

    def _fail(self, media: Any) -> None:
        """Release those who wait for a media that has no packets yet."""
        gst = self._running()
        element = media.get_element()
        error = gst.glib.Error.new_literal(gst.core.ResourceError.quark(), "unmounted", gst.core.ResourceError.CLOSE)
        element.post_message(gst.core.Message.new_error(element, error, "unmounted"))

    # What follows runs in GStreamer's threads.

    def _on_connected(self, _server: Any, client: Any) -> None:
        connection = client.get_connection().get_read_socket()
        connection.set_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(_STALL_S * 1e3))
        with self._lock:
            is_full = len(self._clients) >= self._settings.max_clients + _SPARE_CONNECTIONS
            if not is_full:
                self._clients[client] = _Client(connection)
        if is_full:
            self._meter.dropped("", "rtsp_connections")
            with contextlib.suppress(self._running().glib.Error):  # gone already
                connection.shutdown(True, True)  # noqa: FBT003 - GStreamer's signature
            return
        client.set_property("post-session-timeout", _LINGER_S)
        client.connect("setup-request", self._on_setup)
        client.connect("play-request", self._on_play)
        client.connect("teardown-request", self._on_teardown)
        client.connect("closed", self._on_closed)

    def _on_setup(self, client: Any, context: Any) -> None:
        with self._lock:
            if client in self._clients:
                self._clients[client].sessions.add(context.session.get_sessionid())

    def _on_play(self, client: Any, context: Any) -> None:
        camera_id = camera_of(context)
        with self._lock:
            mount = self._mounts.get(camera_id)
            if mount is None or client not in self._clients:
                return
            self._clients[client].playing.add(camera_id)
            self._count(camera_id)
        mount.hub.request_key()

    def _on_teardown(self, client: Any, context: Any) -> None:
        camera_id = camera_of(context)
        with self._lock:
            if client in self._clients:
                self._clients[client].playing.discard(camera_id)
                self._clients[client].sessions.discard(context.session.get_sessionid())
                self._count(camera_id)

    def _on_closed(self, client: Any) -> None:
        """GStreamer stops what a viewer got that left without TEARDOWN, but keeps its place taken for a minute."""
        pool = client.get_session_pool()
        with self._lock:
            state = self._clients.pop(client, None)
            for camera_id in state.playing if state else ():
                self._count(camera_id)
            self._lock.notify_all()
        for session in map(pool.find, state.sessions if state else ()):
            if session is not None:
                pool.remove(session)

    def _on_media(self, camera_id: str, factory: Any, media: Any) -> None:
        """The first viewer made GStreamer build the media of this mount: connect it to the hub."""
        with self._lock:
            mount = self._mounts.get(camera_id)
            if mount is None or mount.factory is not factory or self._gst is None:
                return
            hub, stale = mount.hub, mount.feed  # stale: of a media that never became ready, for want of packets
            mount.media = media
            mount.feed = Feed(
                self._gst,
                media.get_element().get_by_name("source"),
                lambda: hub.subscribe(OUTPUT, _QUEUE_PACKETS),
                name=camera_id,
                on_bytes=lambda count: self._meter.bytes_out(camera_id, OUTPUT, count),
                on_refused=lambda: self._on_broken(camera_id, media),
                on_resized=lambda size: self._mount_again(camera_id, media, f"its pictures are {size} now"),
            )
            mount.feed.start()
        if stale is not None:
            stale.close()
        media.connect("prepared", lambda media: self._on_prepared(camera_id, media))

    def _on_prepared(self, camera_id: str, media: Any) -> None:
        """Hold the media with a use count of our own, so that it stays ready.

        GStreamer would tear it down with its last viewer, and refuse whoever connects in that moment.
        """
        with self._lock:
            mount = self._mounts.get(camera_id)
            if mount is None or mount.media is not media or mount.held:
                return
            mount.held = True
            self._count(camera_id)
        media.prepare(None)

    def _on_broken(self, camera_id: str, media: Any) -> None:
        """One that never became ready is replaced for the next viewer anyhow."""
        with self._lock:
            mount = self._mounts.get(camera_id)
            was_ready = mount is not None and mount.media is media and mount.held
        if was_ready:
            self._mount_again(camera_id, media, "the RTSP output broke")

    def _mount_again(self, camera_id: str, media: Any, why: str) -> None:
        """The media is of no use any more: begin anew, viewers will reconnect."""
        with self._lock:
            mount = self._mounts.get(camera_id)
            if mount is None or mount.media is not media:
                return
            viewers = self._viewers(camera_id)
            self._offer(camera_id, mount.hub)  # takes the place of the broken one, before a reload may come between
        self._take_down(mount, viewers)
        _LOG.warning("camera %s: %s; the RTSP stream begins anew, its viewers must reconnect", camera_id, why)

    def _viewers(self, camera_id: str) -> list[Any]:
        return [client for client, state in self._clients.items() if camera_id in state.playing]

    def _count(self, camera_id: str) -> None:
        viewers = len(self._viewers(camera_id))
        self._meter.clients(camera_id, OUTPUT, viewers)
        mount = self._mounts.get(camera_id)
        if mount is not None and mount.feed is not None and mount.held:
            mount.feed.want(wanted=viewers > 0)


@functools.cache
def _one_media_of(factory: Any) -> Any:
    """The class that offers one media under every spelling of a mount's address.

    GStreamer would make another one for `/cam?a=b`, and for `/cam/stream=0` without a DESCRIBE before it: that would
    take the feed away from those who watch, and be torn down with its viewer.
    """

    class OneMedia(factory):  # type: ignore[misc]
        def do_gen_key(self, _url: Any) -> str:
            return "media"

    return OneMedia


def _bind_trouble(settings: RtspSettings, detail: str) -> str:
    remedy = "stop the other program or set another rtsp.port (or rtsp.listen)"
    if os.strerror(errno.EADDRNOTAVAIL) in detail:
        remedy = "this machine has no such address now; bring its network up, or correct rtsp.listen"
    elif os.strerror(errno.EACCES) in detail:
        remedy = "ports below 1024 need a privilege; choose an rtsp.port of 1024 or more"
    return f"the RTSP server cannot listen on {settings.listen} port {settings.port}: {detail}; {remedy}"
