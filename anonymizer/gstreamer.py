"""Loads GStreamer's Python bindings when they are needed, and says what to install when they are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anonymizer.errors import LibraryError

_PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
)
_ELEMENTS = ("appsrc", "h264parse", "rtph264pay", "rtpbin", "multiudpsink")


@dataclass(frozen=True, slots=True)
class GStreamer:
    """The modules of the bindings that we use; they have no type annotations."""

    core: Any  # gi.repository.Gst
    glib: Any  # gi.repository.GLib
    rtsp: Any  # gi.repository.GstRtsp
    server: Any  # gi.repository.GstRtspServer


def load_gstreamer() -> GStreamer:
    """Import and initialise; raises LibraryError that names what to install."""
    try:
        import gi

        for namespace in ("Gst", "GstRtsp", "GstRtspServer"):
            gi.require_version(namespace, "1.0")
        from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
    except (ImportError, ValueError) as error:
        raise LibraryError(
            f"GStreamer for Python is missing ({error}): sudo apt install {_PACKAGES}; "
            "a virtual environment must be made with: /usr/bin/python3 -m venv --system-site-packages"
        ) from error
    Gst.init(None)
    missing = [name for name in _ELEMENTS if Gst.ElementFactory.find(name) is None]
    if missing:
        raise LibraryError(f"GStreamer lacks {', '.join(missing)}: sudo apt install {_PACKAGES}")
    return GStreamer(Gst, GLib, GstRtsp, GstRtspServer)
