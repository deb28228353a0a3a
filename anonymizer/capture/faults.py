"""libav's errors in words that help: what happened, where, what to do; never with a login or a key in them."""

from __future__ import annotations

import errno

import av

from anonymizer.errors import LoginRefusedError, SourceEnded, SourceError

_REFUSALS: tuple[tuple[type[av.FFmpegError], str], ...] = (
    (av.HTTPUnauthorizedError, "the camera refused the login (401); check username and password"),
    (av.HTTPForbiddenError, "the camera forbids this user to watch (403); give the user that right in the camera"),
)
_ADVICE: tuple[tuple[type[av.FFmpegError], str], ...] = (
    (av.HTTPNotFoundError, "the camera has no stream at this path (404); check the part of the URL after the host"),
    (av.HTTPTooManyRequestsError, "the camera has too many viewers (429); close some"),
    (av.HTTPOtherClientError, "the camera refuses (4xx); it may have too many viewers (453), then close some"),
    (av.HTTPServerError, "the camera failed to answer (5xx); restart it if this goes on"),
    (av.ConnectionRefusedError, "nothing listens at this address; check host and port, and that the camera is on"),
    (av.ConnectionResetError, "the camera broke the connection off"),
    (av.BrokenPipeError, "the camera broke the connection off"),
    (
        av.InvalidDataError,
        "what comes from there is no video that can be read; check URL and codec (H.264, H.265, MJPEG)",
    ),
    (
        av.ProtocolNotFoundError,
        "this kind of URL is not known; use rtsp, rtsps, http, https, file, /dev/videoN or demo",
    ),
    (av.FileNotFoundError, "there is no such file or device; check the name"),
    (av.PermissionError, "this user may not read it; for a camera device add the user to the group video"),
    (
        av.ArgumentError,
        "this address or an option in it is refused; check host, port (1 to 65535) and brackets; of a device size, fps "
        "and format",
    ),
    (av.DecoderNotFoundError, "there is no decoder for its codec; set the camera to H.264, H.265 or MJPEG"),
)
_BY_ERRNO = {
    errno.EHOSTUNREACH: "there is no way to this host; check network and address",
    errno.ENETUNREACH: "there is no way to this network; check network and address",
    errno.EIO: "the host name cannot be resolved or the device failed; check address and cable",
    errno.ENODEV: "the device is gone; check its cable",
    errno.EBUSY: "another program uses the device; stop that",
    errno.EPROTONOSUPPORT: "the camera does not send this way (461); set the other transport, tcp or udp",
    errno.ETIMEDOUT: "the host does not answer; check address and network",
}


def silent(where: str, waited_s: float) -> SourceError:
    """A connected camera has stopped sending."""
    return SourceError(f"{where}: the camera sent nothing for {waited_s:g} s; check its network and power")


def explain(error: av.FFmpegError, where: str, *, opened: bool, waited_s: float, timeout_s: float) -> SourceError:
    """The error to raise after leaving the `except` block, lest libav's error and its login be chained.

    `where` is the public address; `opened` tells a camera that fell silent from one that never answered; `waited_s` is
    how long libav was busy: out of time, it calls a silent RTSP server invalid data and a silent device blocking.
    """
    mistaken = isinstance(error, av.InvalidDataError | av.BlockingIOError) and waited_s >= timeout_s
    if isinstance(error, av.ExitError) or mistaken:
        if opened:
            return silent(where, timeout_s)
        return SourceError(f"{where}: no answer within {timeout_s:g} s; check address, network, and the camera's power")
    if isinstance(error, av.EOFError):
        return SourceEnded(f"{where}: the stream ended")
    if opened and error.errno == errno.EIO:
        return SourceError(f"{where}: the connection broke off; check network or cable")
    for kind, advice in _REFUSALS:
        if isinstance(error, kind):
            return LoginRefusedError(f"{where}: {advice}")
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return SourceError(f"{where}: {advice}")
    advice = _BY_ERRNO.get(error.errno or 0, f"{error.strerror} (libav {type(error).__name__})")
    return SourceError(f"{where}: {advice}")
