"""The demo camera's process: `python -m anonymizer.demo.server` plays a reel over RTSP on the loopback address.

It prints one line: `ready rtsp://...` once it listens, or `error ...` before it exits with 1.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anonymizer.demo.cache import cache_folder
from anonymizer.demo.reel import Codec, Reel, clip_reel, portraits_reel, remove_unfinished
from anonymizer.errors import AnonymizerError, SourceError
from anonymizer.gstreamer import GStreamer, load_gstreamer
from anonymizer.types import Size

HOST = "127.0.0.1"
_BEHIND_S = 1.0  # after a longer pause, as of a suspended process, pictures are skipped, as by a live camera
_PAYLOADERS = {
    Codec.H264: "caps=video/x-h264,stream-format=byte-stream,alignment=au ! h264parse"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1 aggregate-mode=zero-latency",
    Codec.H265: "caps=video/x-h265,stream-format=byte-stream,alignment=au ! h265parse"
    " ! rtph265pay name=pay0 pt=96 config-interval=-1 aggregate-mode=zero-latency",
    Codec.MJPEG: "caps=image/jpeg,width={width},height={height} ! rtpjpegpay name=pay0 pt=26",
}


def serve(reel: Reel, *, port: int, path: str, username: str | None, password: str, until_stdin_ends: bool) -> None:
    """Offer the reel to any number of readers, print the address, and block until killed or until stdin ends.

    Raises LibraryError without GStreamer, SourceError if the port is taken.
    """
    gst = load_gstreamer()
    server = gst.server.RTSPServer.new()
    server.set_address(HOST)
    server.set_service(str(port))
    factory = gst.server.RTSPMediaFactory.new()
    payloader = _PAYLOADERS[reel.codec].format(width=reel.size.width, height=reel.size.height)
    source = "appsrc name=reel is-live=true format=time block=false leaky-type=downstream max-bytes=4000000"
    factory.set_launch(f"( {source} {payloader} )")
    factory.set_shared(True)
    factory.connect("media-configure", lambda _factory, media: _Player(reel, media, gst.core).start())
    if username is not None:
        _demand_login(server, factory, username, password, gst)
    server.get_mount_points().add_factory(path, factory)
    if not server.attach(None):
        raise SourceError(f"the demo camera cannot listen on {HOST}:{port}; free the port or choose another")
    print(f"ready rtsp://{HOST}:{server.get_bound_port()}{path}", flush=True)  # noqa: T201 - the protocol
    loop = gst.glib.MainLoop()
    if until_stdin_ends:
        glib = gst.glib
        glib.io_add_watch(sys.stdin.fileno(), glib.PRIORITY_DEFAULT, glib.IOCondition.HUP, lambda *_: loop.quit())
    loop.run()


class _Player(threading.Thread):
    """Pushes the reel in a loop into one media, with continuous timestamps, until that is torn down."""

    def __init__(self, reel: Reel, media: Any, gst: Any) -> None:
        super().__init__(name="reel", daemon=True)
        self._reel = reel
        self._gst = gst
        self._appsrc = media.get_element().get_by_name_recurse_up("reel")
        self._stopping = threading.Event()
        media.connect("unprepared", lambda _media: self._stopping.set())

    def run(self) -> None:
        """Play in real time."""
        interval_s = float(1 / self._reel.fps)
        start_s = time.monotonic()
        start_ns: int = self._appsrc.get_current_running_time()
        if start_ns == self._gst.CLOCK_TIME_NONE:
            start_ns = 0
        shown = turn = 0
        while not self._stopping.wait(max(0.0, start_s + turn * interval_s - time.monotonic())):
            buffer = self._gst.Buffer.new_wrapped(self._reel.units[shown % len(self._reel.units)])
            buffer.pts = buffer.dts = start_ns + round(turn * interval_s * 1e9)
            if self._appsrc.emit("push-buffer", buffer) != self._gst.FlowReturn.OK:
                return
            shown += 1
            turn += 1
            behind_s = time.monotonic() - (start_s + turn * interval_s)
            if behind_s > _BEHIND_S:
                turn += round(behind_s / interval_s)


def _demand_login(server: Any, factory: Any, username: str, password: str, gst: GStreamer) -> None:
    """Let nobody in without this name and password (digest authentication, as most cameras)."""
    rtsp = gst.server
    auth = rtsp.RTSPAuth.new()
    token = rtsp.RTSPToken.new()
    token.set_string(rtsp.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    auth.add_digest(username, password, token)
    auth.set_supported_methods(gst.rtsp.RTSPAuthMethod.DIGEST)
    server.set_auth(auth)
    permissions = rtsp.RTSPPermissions.new()
    for permission in (rtsp.RTSP_PERM_MEDIA_FACTORY_ACCESS, rtsp.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT):
        permissions.add_permission_for_role("viewer", permission, allowed=True)
    factory.set_permissions(permissions)


def parse_size(text: str) -> Size:
    """`1280x720` as a Size of even numbers; raises ValueError."""
    width, height = (int(part) // 2 * 2 for part in text.lower().split("x"))
    if not (16 <= width <= 3840 and 16 <= height <= 2160):
        raise ValueError(f"the size {text} is not between 16x16 and 3840x2160")
    return Size(width, height)


def _leave(*_: object) -> None:
    """Exit through the `finally` blocks; further signals (systemd's and the parent's may both come) are ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _reel(args: argparse.Namespace) -> Reel:
    """The film to play; if the process is terminated while encoding, it deletes the unfinished file."""
    signal.signal(signal.SIGTERM, _leave)
    folder = cache_folder()
    remove_unfinished(folder)
    if args.clip is not None:
        reel = clip_reel(folder, args.clip, codec=args.codec, size=args.size, fps=args.fps)
    else:
        size, fps = args.size or Size(1280, 720), args.fps or Fraction(15)
        reel = portraits_reel(folder, codec=args.codec, size=size, fps=fps)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return reel


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m anonymizer.demo.server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    parser.add_argument("--path", default="/cam")
    parser.add_argument("--clip", type=Path, help="a film to loop; without it a virtual camera looks at portraits")
    parser.add_argument("--size", type=parse_size, help="WIDTHxHEIGHT; default 1280x720, or the clip's own")
    parser.add_argument("--fps", type=Fraction, help="pictures a second; default 15, or the clip's own")
    parser.add_argument("--codec", type=Codec, choices=list(Codec), default=Codec.H264)
    parser.add_argument("--user", help="user name that readers must give")
    parser.add_argument("--password", default="", help="its password; other users of this machine can see it")
    parser.add_argument("--until-stdin-ends", action="store_true", help="exit when stdin closes")
    args = parser.parse_args(argv)
    try:
        serve(
            _reel(args),
            port=args.port,
            path=quote(args.path),
            username=args.user,
            password=args.password,
            until_stdin_ends=args.until_stdin_ends,
        )
    except AnonymizerError as error:
        print(f"error {error}", flush=True)  # noqa: T201 - the protocol
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
