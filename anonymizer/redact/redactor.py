"""Applies a plan to a frame; the only maker of `RedactedFrame`."""

from __future__ import annotations

import logging

import cv2

from anonymizer.redact.acceleration import ipp
from anonymizer.redact.area import Area, grown, make_area, whole_area
from anonymizer.redact.blur import Blur
from anonymizer.redact.canvas import Canvas
from anonymizer.redact.colour import rgb_of
from anonymizer.redact.effect import Patch, PatchEffect, cut
from anonymizer.redact.fill import Fill
from anonymizer.redact.image import Image
from anonymizer.redact.mosaic import Mosaic
from anonymizer.redact.noise import Noise
from anonymizer.redact.outline import stencil_of
from anonymizer.redact.soft import blend, fade
from anonymizer.settings.schema import SURROUND, RedactSettings
from anonymizer.types import (
    U8,
    Box,
    Colour,
    Effect,
    Frame,
    Planes,
    Reason,
    RedactedFrame,
    RedactionPlan,
    Region,
    Size,
)

log = logging.getLogger(__name__)

NEUTRAL_CHROMA = 128
PLACEHOLDER_LUMA = 40
TEXT_LUMA = 180
TEXT_WIDTH = 0.8  # of the picture, at most

# Weakest first: where regions overlap, the strongest effect is painted last.
_STRENGTH = {
    effect: rank
    for rank, effect in enumerate(
        (Effect.BLUR, Effect.MOSAIC, Effect.IMAGE, Effect.NOISE, Effect.SILHOUETTE, Effect.FILL)
    )
}


class Redactor:
    """Masks frames on their planes; it keeps nothing from one frame to the next but the frozen cells of tracks."""

    def __init__(self, settings: RedactSettings) -> None:
        """Raises ValueError if the image of the settings is no picture."""
        fill = Fill(None if settings.fill_colour == SURROUND else rgb_of(settings.fill_colour))
        self._effects: dict[Effect, PatchEffect] = {
            Effect.FILL: fill,
            Effect.SILHOUETTE: fill,  # of a region with an outline, which the policy gives it
            Effect.MOSAIC: Mosaic(settings.mosaic_cells, frozen=settings.mosaic_frozen),
            Effect.BLUR: Blur(settings.mosaic_cells),
            Effect.NOISE: Noise(),
            Effect.IMAGE: fill if settings.image is None else Image(settings.image, ground=fill),
        }
        self._whole = Mosaic(settings.mosaic_cells)
        self._edge = (settings.soft_edge_px + 1) // 2  # chroma pixels

    def redact(self, frame: Frame, plan: RedactionPlan) -> RedactedFrame:
        """A masked copy of the frame, read-only, that shares no memory with it.

        A region covers every pixel that its box, ellipse or polygon touches, rounded outward to even coordinates;
        nothing else changes. A plan that was made for another frame, or has a box that is not finite or inside out,
        masks the whole frame. Raises ValueError if the planes are not 4:2:0 with even sides.
        """
        size = _checked(frame.planes)
        if plan.whole_frame is not None:
            return self._redact_whole(frame, plan.whole_frame)
        if plan.seq != frame.seq:
            return self._redact_failed(frame, f"the plan is of frame {plan.seq}")
        try:
            areas = [(region, make_area(region.box, size)) for region in plan.regions]
        except ValueError as error:
            return self._redact_failed(frame, str(error))
        # Weak effects before strong ones, then large regions before small ones, so that a face's mask shows on its
        # person's. No order can reveal anything: every effect reads what those before it have left.
        visible = sorted(
            ((region, area) for region, area in areas if area is not None),
            key=lambda item: (_STRENGTH[item[0].effect], -item[1].width * item[1].height),
        )
        canvas = Canvas(size)
        canvas.copy(frame.planes)
        with ipp(wanted=False):  # small pictures and masked copies take longer with it
            for region, area in visible:
                self._paint(canvas, frame, region, area, size)
        regions, spared = tuple(region for region, _ in visible), tuple(face.box for face in plan.spared)
        return _seal(frame, canvas, None, regions, spared)

    def placeholder(
        self, camera_id: str, seq: int, size: Size, pts_ns: int, captured_ns: int, wall_ns: int, text: str
    ) -> RedactedFrame:
        """A dark picture with one line of text, for a camera that is away; raises ValueError for odd sides."""
        canvas = Canvas(size)
        i420, luma = canvas.i420, canvas.planes.y
        i420.fill(NEUTRAL_CHROMA)
        luma.fill(PLACEHOLDER_LUMA)
        _write(luma, text)
        i420.flags.writeable = False
        return RedactedFrame(camera_id, seq, pts_ns, captured_ns, wall_ns, i420, Colour(), Reason.NO_SIGNAL, ())

    def _redact_failed(self, frame: Frame, why: str) -> RedactedFrame:
        log.error(
            "camera %s: frame %d cannot be masked by its plan: %s; masking it whole", frame.camera_id, frame.seq, why
        )
        return self._redact_whole(frame, Reason.POLICY_FAILED)

    def _redact_whole(self, frame: Frame, reason: Reason) -> RedactedFrame:
        """The mosaic of the whole picture; raw pixels are averaged without being copied."""
        canvas, area = Canvas(frame.size), whole_area(frame.size)
        canvas.lay(self._whole.cover(Patch(frame.planes, area, frame.colour, None)), area, None)
        return _seal(frame, canvas, reason, ())

    def _paint(self, canvas: Canvas, frame: Frame, region: Region, area: Area, size: Size) -> None:
        outer = grown(area, self._edge, size) if self._edge else area
        track = None if region.track_id is None else (frame.epoch, region.track_id)
        cover = self._effects[region.effect].cover(Patch(canvas.planes, outer, frame.colour, track))
        stencil = stencil_of(region, area)
        if self._edge:
            blend(cover.planes(), fade(area, outer, stencil, self._edge), cut(canvas.planes, outer))
        else:
            canvas.lay(cover, area, stencil)


def _checked(planes: Planes) -> Size:
    height, width = planes.y.shape
    if planes.u.shape != (height // 2, width // 2) or planes.v.shape != planes.u.shape:
        raise ValueError(
            f"planes of {planes.y.shape}, {planes.u.shape} and {planes.v.shape} are not 4:2:0; "
            "convert the picture where it is decoded"
        )
    return Size(width, height)


def _seal(
    frame: Frame,
    canvas: Canvas,
    whole_frame: Reason | None,
    regions: tuple[Region, ...],
    spared: tuple[Box, ...] = (),
) -> RedactedFrame:
    canvas.i420.flags.writeable = False
    return RedactedFrame(
        camera_id=frame.camera_id,
        seq=frame.seq,
        pts_ns=frame.pts_ns,
        captured_ns=frame.captured_ns,
        wall_ns=frame.wall_ns,
        i420=canvas.i420,
        colour=frame.colour,
        whole_frame=whole_frame,
        regions=regions,
        spared=spared,
        pixel_aspect=frame.pixel_aspect,
    )


def _write(luma: U8, text: str) -> None:
    """One centred line, as large as fits; OpenCV's font has only ASCII and shows other characters as `?`."""
    font, (height, width) = cv2.FONT_HERSHEY_SIMPLEX, luma.shape
    (unit_width, unit_height), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(TEXT_WIDTH * width / max(unit_width, 1), height / (12 * max(unit_height, 1)))
    thickness = max(round(scale * 1.5), 1)
    origin = (round((width - unit_width * scale) / 2), round((height + unit_height * scale) / 2))
    cv2.putText(luma, text, origin, font, scale, TEXT_LUMA, thickness, cv2.LINE_AA)
