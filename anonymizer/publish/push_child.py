"""The child process of one push: sends packets from stdin to an RTSP server; may hang until it is killed.

The URL comes through the pipe: everybody on the machine could read its password in the command line.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
from fractions import Fraction
from typing import BinaryIO

import av

from anonymizer.publish.push_wire import CONNECTED, read_packet, read_url

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_TIME_BASE = Fraction(1, 90_000)


def main() -> int:
    """Push until GOODBYE; after a failure the reason is on stdout, without the URL."""
    _die_with(int(sys.argv[1]))
    try:
        _push(sys.stdin.buffer)
    except EOFError:
        return 0
    except (av.FFmpegError, OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or type(error).__name__
        os.write(1, str(text).encode())
        return 1
    return 0


def _push(stdin: BinaryIO) -> None:
    url = read_url(stdin)
    first_ns, data = read_packet(stdin)
    pts_ns = first_ns
    with (
        av.open(io.BytesIO(data), format="h264") as sample,
        av.open(url, "w", format="rtsp", options={"rtsp_transport": "tcp"}) as server,
    ):
        stream = server.add_stream_from_template(sample.streams.video[0])
        while data:
            packet = av.Packet(data)
            packet.stream = stream
            packet.time_base = _TIME_BASE
            packet.pts = packet.dts = (pts_ns - first_ns) * _TIME_BASE.denominator // 1_000_000_000
            server.mux(packet)
            if pts_ns == first_ns:
                os.write(1, CONNECTED)
            pts_ns, data = read_packet(stdin)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, also during a call into libav that never returns."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call above
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
