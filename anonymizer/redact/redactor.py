"""Applies a plan to a frame; the only maker of `RedactedFrame`."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.redact.area import Area, make_area, whole_area
from anonymizer.redact.blur import blur
from anonymizer.redact.effect import PatchEffect
from anonymizer.redact.ellipse import ellipse_stencils
from anonymizer.redact.fill import fill
from anonymizer.redact.grid import Grid, make_grid
from anonymizer.redact.mosaic import mosaic
from anonymizer.settings.schema import RedactSettings
from anonymizer.types import (
    U8,
    Colour,
    Effect,
    Frame,
    Planes,
    Reason,
    RedactedFrame,
    RedactionPlan,
    Region,
    Shape,
    Size,
)

NEUTRAL_CHROMA = 128
PLACEHOLDER_LUMA = 40
TEXT_LUMA = 180
TEXT_WIDTH = 0.8  # of the picture, at most

# Weakest first: where regions overlap, the strongest effect is painted last.
_EFFECTS: dict[Effect, PatchEffect] = {Effect.BLUR: blur, Effect.MOSAIC: mosaic, Effect.FILL: fill}
_STRENGTH = {effect: rank for rank, effect in enumerate(_EFFECTS)}


class Redactor:
    """Masks frames on their planes; keeps nothing from one frame to the next."""

    def __init__(self, settings: RedactSettings) -> None:
        self._cells = settings.mosaic_cells
        self._fill_luma = settings.fill_luma

    def redact(self, frame: Frame, plan: RedactionPlan) -> RedactedFrame:
        """A masked copy of the frame, read-only, that shares no memory with it.

        A region covers every pixel that its box or ellipse touches, rounded outward to even coordinates; nothing else
        changes. A plan that was made for another frame, or has a box that is not finite or inside out, masks the
        whole frame. Raises ValueError if the planes are not 4:2:0 with even sides.
        """
        _check(frame.planes)
        if plan.whole_frame is not None:
            return self._redact_whole(frame, plan.whole_frame)
        if plan.seq != frame.seq:
            return self._redact_whole(frame, Reason.POLICY_FAILED)
        try:
            areas = [(region, make_area(region.box, frame.size)) for region in plan.regions]
        except ValueError:
            return self._redact_whole(frame, Reason.POLICY_FAILED)
        # Then large before small, so that a face's own mask shows on its person's. No order can reveal anything:
        # every effect reads what those before it have left.
        visible = sorted(
            ((region, area) for region, area in areas if area is not None),
            key=lambda item: (_STRENGTH[item[0].effect], -item[1].width * item[1].height),
        )
        i420, planes = _allocate(frame.size)
        planes.y[...], planes.u[...], planes.v[...] = frame.planes.y, frame.planes.u, frame.planes.v
        for region, area in visible:
            self._paint(planes, region, area)
        return _seal(frame, i420, None, len(visible))

    def placeholder(
        self, camera_id: str, seq: int, size: Size, pts_ns: int, captured_ns: int, wall_ns: int, text: str
    ) -> RedactedFrame:
        """A dark picture with one line of text, for a camera that is away; raises ValueError for odd sides."""
        i420, planes = _allocate(size)
        i420.fill(NEUTRAL_CHROMA)
        planes.y.fill(PLACEHOLDER_LUMA)
        _write(planes.y, text)
        i420.flags.writeable = False
        return RedactedFrame(camera_id, seq, pts_ns, captured_ns, wall_ns, i420, Colour(), Reason.NO_SIGNAL, 0)

    def _redact_whole(self, frame: Frame, reason: Reason) -> RedactedFrame:
        """The mosaic of the whole picture; raw pixels are averaged where they are and never copied."""
        i420, planes = _allocate(frame.size)
        grid = make_grid(whole_area(frame.size), self._cells)
        mosaic(frame.planes.y, grid.doubled(), self._fill_luma, planes.y)
        mosaic(frame.planes.u, grid, NEUTRAL_CHROMA, planes.u)
        mosaic(frame.planes.v, grid, NEUTRAL_CHROMA, planes.v)
        return _seal(frame, i420, reason, 0)

    def _paint(self, planes: Planes, region: Region, area: Area) -> None:
        effect, grid = _EFFECTS[region.effect], make_grid(area, self._cells)
        luma = np.s_[2 * area.y1 : 2 * area.y2, 2 * area.x1 : 2 * area.x2]
        chroma = np.s_[area.y1 : area.y2, area.x1 : area.x2]
        on_luma, on_chroma = ellipse_stencils(area) if region.shape is Shape.ELLIPSE else (None, None)
        _apply(effect, planes.y[luma], grid.doubled(), self._fill_luma, on_luma)
        _apply(effect, planes.u[chroma], grid, NEUTRAL_CHROMA, on_chroma)
        _apply(effect, planes.v[chroma], grid, NEUTRAL_CHROMA, on_chroma)


def _apply(effect: PatchEffect, patch: U8, grid: Grid, level: int, stencil: U8 | None) -> None:
    if stencil is None:
        effect(patch, grid, level, patch)
        return
    changed = np.empty_like(patch)
    effect(patch, grid, level, changed)
    cv2.copyTo(changed, stencil, patch)  # ten times as fast as `np.copyto(..., where=)`


def _check(planes: Planes) -> None:
    height, width = planes.y.shape
    if planes.u.shape != (height // 2, width // 2) or planes.v.shape != planes.u.shape:
        raise ValueError(
            f"planes of {planes.y.shape}, {planes.u.shape} and {planes.v.shape} are not 4:2:0; "
            "convert the picture where it is decoded"
        )


def _allocate(size: Size) -> tuple[U8, Planes]:
    """A fresh I420 array and its planes. A pool would save nothing: malloc hands the same pages out again."""
    height, width = size.height, size.width
    if height < 2 or width < 2 or height % 2 or width % 2:
        raise ValueError(f"a 4:2:0 picture needs even sides, not {size}")
    i420 = np.empty((height + height // 2, width), np.uint8)
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    return i420, Planes(i420[:height], chroma[0], chroma[1])


def _seal(frame: Frame, i420: U8, whole_frame: Reason | None, regions: int) -> RedactedFrame:
    i420.flags.writeable = False
    return RedactedFrame(
        camera_id=frame.camera_id,
        seq=frame.seq,
        pts_ns=frame.pts_ns,
        captured_ns=frame.captured_ns,
        wall_ns=frame.wall_ns,
        i420=i420,
        colour=frame.colour,
        whole_frame=whole_frame,
        regions=regions,
    )


def _write(luma: U8, text: str) -> None:
    """One centred line, as large as fits; OpenCV's built-in font has ASCII only and shows the rest as `?`."""
    font, (height, width) = cv2.FONT_HERSHEY_SIMPLEX, luma.shape
    (unit_width, unit_height), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(TEXT_WIDTH * width / max(unit_width, 1), height / (12 * max(unit_height, 1)))
    thickness = max(round(scale * 1.5), 1)
    origin = (round((width - unit_width * scale) / 2), round((height + unit_height * scale) / 2))
    cv2.putText(luma, text, origin, font, scale, TEXT_LUMA, thickness, cv2.LINE_AA)
