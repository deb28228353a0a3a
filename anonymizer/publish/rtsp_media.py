"""What an RTSP mount serves: one GStreamer pipeline that packs H.264 into RTP, shared by all viewers."""

from __future__ import annotations

import functools
from typing import Any

from anonymizer.gstreamer import GStreamer

# The encoder repeats the parameter sets before every key frame, so the payloader need not (config-interval=0).
# At most half a second waits in the source.
_LAUNCH = (
    "( appsrc name=source is-live=true format=time max-bytes=2000000 max-buffers=0 max-time=500000000"
    " caps=video/x-h264,stream-format=byte-stream,alignment=au"
    " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=0 aggregate-mode=zero-latency )"
)


def media_factory(gst: GStreamer) -> Any:
    """A GstRTSPMediaFactory of one media for all viewers, over TCP and UDP."""
    factory = _one_media_of(gst.server.RTSPMediaFactory)()
    factory.set_launch(_LAUNCH)
    factory.set_shared(True)
    factory.set_protocols(gst.rtsp.RTSPLowerTrans.TCP | gst.rtsp.RTSPLowerTrans.UDP)
    return factory


def source_of(media: Any) -> Any:
    """The GstAppSrc of a media that such a factory made."""
    return media.get_element().get_by_name("source")


@functools.cache
def _one_media_of(factory: Any) -> Any:
    """A factory class that uses the same media for every spelling of a mount's address.

    GStreamer's own makes another media for `/cam?a=b`, and for `/cam/stream=0` without a DESCRIBE before it. That one
    would take the packets away from those who watch, and end with its viewer.
    """

    class OneMedia(factory):  # type: ignore[misc]
        def do_gen_key(self, _url: Any) -> str:
            return "media"

    return OneMedia
