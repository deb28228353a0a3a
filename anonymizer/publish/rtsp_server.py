"""The built-in RTSP server: one mount for each camera, over TCP and UDP."""

from __future__ import annotations

import contextlib
import errno
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
from anonymizer.publish.rtsp_media import media_factory, source_of
from anonymizer.settings.schema import RtspSettings

_LOG = logging.getLogger(__name__)

OUTPUT = "rtsp"  # label in the metrics
_QUEUE_PACKETS = 60  # of one mount; GStreamer keeps a queue of its own for each slow viewer
_SPARE_CONNECTIONS = 32  # on top of `max_clients`: every connection costs descriptors and a thread, watching or not
_STALL_S = 10.0  # the kernel cuts a viewer off that takes nothing for this long
_EXPIRY_S = 5  # how often sessions of vanished viewers are looked for
_LINGER_S = 10  # a connection is closed this long after its session ended, as when a UDP viewer vanished
_BODY_BYTES = 65_536  # the longest body of a request; by default GStreamer would read 2 GB into memory, from anybody
_JOIN_S = 2.0


@dataclass(slots=True)
class _Mount:
    """What is offered under the address of one camera."""

    hub: Hub
    factory: Any  # GstRTSPMediaFactory
    handler: int  # of its signal media-configure
    media: Any = None  # GstRTSPMedia, made for the first viewer, shared with all later ones and kept for them
    feed: Feed | None = None  # from the hub into the media
    held: bool = False  # the media is ready, and we keep it so when its last viewer leaves


@dataclass(slots=True)
class _Client:
    """A connection, whether it watches or not."""

    connection: Any  # gi.repository.Gio.Socket
    playing: set[str] = field(default_factory=set)  # cameras
    sessions: set[str] = field(default_factory=set)  # their ids


class RtspServer(Resource):
    """Serves `rtsp://listen:port/<camera_id>`; mounts come and go while it runs. Digest auth if a password is set.

    While nobody watches a mount, it takes only key frames from its hub. Each viewer has a bounded backlog of its own;
    one that reads nothing for 10 s is cut off without harm to the others. Connections beyond `max_clients` + 32 are
    hung up on.
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
        """The port it listens on, also if the settings say 0, for any free one."""
        return int(self._server.get_bound_port())

    def start(self) -> None:
        """Bind and serve; raises LibraryError without GStreamer, PublishError if the port or address is refused."""
        settings = self._settings
        if not settings.loopback and not settings.password:
            raise PublishError(
                f"rtsp.listen: {settings.listen} lets other machines connect; set rtsp.username and rtsp.password_file "
                "or listen on 127.0.0.1"
            )
        gst = load_gstreamer()
        server = gst.server.RTSPServer.new()
        server.set_address(settings.listen)
        server.set_service(str(settings.port))
        server.set_content_length_limit(_BODY_BYTES)
        threads = gst.server.RTSPThreadPool.new()
        threads.set_max_threads(-1)  # one for each connection, so that waiting for a silent camera delays nobody else
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
            raise PublishError(_bind_trouble(settings, error.message)) from error
        expiry = gst.glib.timeout_source_new_seconds(_EXPIRY_S)
        expiry.set_callback(lambda _data: bool(sessions.cleanup()) or True)  # True: call again
        self._gst, self._server, self._context = gst, server, gst.glib.MainContext.new()
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
        """Needs the lock, so that our table of mounts and GStreamer's never differ."""
        gst = self._running()
        factory = media_factory(gst)
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
        """End a mount that is offered no longer, and hang up on its viewers."""
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
        self._stop.set()
        self._context.wakeup()
        if self._thread is not None:
            self._thread.join(_JOIN_S)  # nobody is accepted from here on, so everybody is hung up on below
        for camera_id in list(self._mounts):
            self.unmount(camera_id)
        self._hang_up(list(self._clients))
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
        """Cut connections, and wait until GStreamer has closed each in the thread that owns it."""
        with self._lock:
            connections = [self._clients[client].connection for client in clients if client in self._clients]
        for connection in connections:
            self._cut(connection)
        with self._lock:
            self._lock.wait_for(lambda: not any(client in self._clients for client in clients), _JOIN_S)

    def _cut(self, connection: Any) -> None:
        """Shut a socket down, whatever its state."""
        with contextlib.suppress(self._running().glib.Error):  # the client was quicker
            connection.shutdown(True, True)  # noqa: FBT003 - GStreamer's signature

    def _fail(self, media: Any) -> None:
        """Let those go who wait for the first packet of a media."""
        gst = self._running()
        element = media.get_element()
        error = gst.glib.Error.new_literal(gst.core.ResourceError.quark(), "unmounted", gst.core.ResourceError.CLOSE)
        element.post_message(gst.core.Message.new_error(element, error, "unmounted"))

    # The methods below run in threads of GStreamer and of the feeds.

    def _on_connected(self, _server: Any, client: Any) -> None:
        connection = client.get_connection().get_read_socket()
        connection.set_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(_STALL_S * 1e3))
        with self._lock:
            is_full = len(self._clients) >= self._settings.max_clients + _SPARE_CONNECTIONS
            if not is_full:
                self._clients[client] = _Client(connection)
        if is_full:
            self._meter.dropped("", "rtsp_connections")
            self._cut(connection)
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
        """Free the place of a viewer that left without TEARDOWN; GStreamer would keep it taken for a minute."""
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
        """Connect the media that GStreamer has just made for the first viewer to the hub."""
        with self._lock:
            mount = self._mounts.get(camera_id)
            if mount is None or mount.factory is not factory or self._gst is None:
                return
            hub, stale = mount.hub, mount.feed  # a feed is stale if its media never became ready, for lack of packets
            mount.media = media
            mount.feed = Feed(
                self._gst,
                source_of(media),
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
        """Count as a user of the media ourselves, so that it stays ready without viewers.

        GStreamer would tear it down when its last viewer leaves, and refuse a viewer that connects at that moment.
        """
        with self._lock:
            mount = self._mounts.get(camera_id)
            if mount is None or mount.media is not media or mount.held:
                return
            mount.held = True
            self._count(camera_id)
        media.prepare(None)

    def _on_broken(self, camera_id: str, media: Any) -> None:
        """Mount again, unless the media never became ready: GStreamer makes a new one for the next viewer then."""
        with self._lock:
            mount = self._mounts.get(camera_id)
            was_ready = mount is not None and mount.media is media and mount.held
        if was_ready:
            self._mount_again(camera_id, media, "the RTSP output broke")

    def _mount_again(self, camera_id: str, media: Any, why: str) -> None:
        """Replace a media that is of no use any more; its viewers are hung up on and must reconnect."""
        with self._lock:
            mount = self._mounts.get(camera_id)
            if mount is None or mount.media is not media:
                return
            viewers = self._viewers(camera_id)
            self._offer(camera_id, mount.hub)  # under the same lock, so that no reload comes between
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


def _bind_trouble(settings: RtspSettings, detail: str) -> str:
    remedy = "stop the other program or set another rtsp.port (or rtsp.listen)"
    if os.strerror(errno.EADDRNOTAVAIL) in detail:
        remedy = "this machine has no such address now; bring its network up, or correct rtsp.listen"
    elif os.strerror(errno.EACCES) in detail:
        remedy = "ports below 1024 need a privilege; choose an rtsp.port of 1024 or more"
    return f"the RTSP server cannot listen on {settings.listen} port {settings.port}: {detail}; {remedy}"
