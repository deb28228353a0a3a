"""Decodes one H.264 key packet on its own, as a viewer who has just joined does."""

from __future__ import annotations

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from anonymizer.errors import SourceError
from anonymizer.types import EncodedPacket, Planes


def read_key_picture(packet: EncodedPacket) -> Planes:
    """The planes of a key packet, read-only; raises SourceError if it does not hold one whole picture."""
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, VideoCodecContext)  # noqa: S101 - the name above is video
    context.thread_count = 1
    try:
        pictures = [*context.decode(av.Packet(packet.data)), *context.decode(None)]
    except av.FFmpegError as error:
        raise SourceError(f"a key packet of {packet.camera_id} cannot be decoded: {error.strerror}") from error
    if not pictures:
        raise SourceError(f"a key packet of {packet.camera_id} holds no picture")
    i420 = pictures[0].to_ndarray(format="yuv420p").astype(np.uint8, copy=False)
    i420.flags.writeable = False
    width, height = i420.shape[1], i420.shape[0] * 2 // 3
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    return Planes(i420[:height], chroma[0], chroma[1])
