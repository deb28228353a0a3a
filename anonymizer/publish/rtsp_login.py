"""Who may watch over RTSP: whoever knows the password, and nobody else learns which cameras there are."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from anonymizer.gstreamer import GStreamer

_LOG = logging.getLogger(__name__)

ROLE = "viewer"
_REALM = "anonymizer"


def digest_login(gst: GStreamer, username: str, password: str, is_camera: Callable[[str], bool]) -> Any:
    """A GstRTSPAuth that lets in this one user, by digest alone; `is_camera` tells whether a path is a camera's id."""
    auth = _door_of(gst.server.RTSPAuth, gst)(is_camera)
    auth.set_supported_methods(gst.rtsp.RTSPAuthMethod.DIGEST)
    auth.set_realm(_REALM)
    token = gst.server.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    auth.add_digest(username, password, token)
    return auth


def camera_of(context: Any) -> str:
    """The camera that a request is about, as it is asked for: from anybody, so never to be logged as it is."""
    return str(context.uri.abspath).strip("/").split("/", 1)[0] if context.uri else ""


@functools.cache
def _door_of(auth_of: Any, gst: GStreamer) -> Any:
    """The class that asks for the password before a mount is looked for.

    GStreamer alone asks after it has found one, and so tells everybody which there are: 404 for one, 401 for the other.
    """
    # All other methods answer alike, whatever they are about.
    needs_mount = gst.rtsp.RTSPMethod.DESCRIBE | gst.rtsp.RTSPMethod.SETUP

    class Door(auth_of):  # type: ignore[misc]
        def __init__(self, is_camera: Callable[[str], bool]) -> None:
            super().__init__()
            self._is_camera = is_camera

        def do_check(self, context: Any, check: str) -> bool:
            if check == gst.server.RTSP_AUTH_CHECK_URL and context.method & needs_mount:
                auth_of.do_authenticate(self, context)
                if context.token is None:
                    self._complain(context)
                    check = gst.server.RTSP_AUTH_CHECK_MEDIA_FACTORY_ACCESS  # which answers with a challenge
            return bool(auth_of.do_check(self, context, check))

        def _complain(self, context: Any) -> None:
            """One line for a login that is wrong; without one a client asks first, to learn how to log in."""
            field = gst.rtsp.RTSPHeaderField.AUTHORIZATION
            if context.request.get_header(field, 0)[1] is None:
                return
            name = camera_of(context)
            _LOG.warning(
                "camera %s: refused the login of an RTSP viewer; its user name or password is not that of "
                "rtsp.username and rtsp.password_file, or it does not use digest authentication",
                name if self._is_camera(name) else "(none of this name)",  # what anybody sends is not repeated
                extra={"client": context.client.get_connection().get_ip()},
            )

    return Door
