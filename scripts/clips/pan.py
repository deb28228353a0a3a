"""Face video with exact ground truth: a virtual camera pans and zooms over labelled stills.

    .venv/bin/python -m scripts.clips.pan FACES.json OUT [--clips 12] [--seconds 4] [--seed 1]

Each clip shows one still with small faces: the camera rests, glides and zooms, faces grow, shrink, enter and leave;
motion blur, defocus, noise, light and compression are drawn for each clip. OUT/01/ and so on get clip.mp4 and gt.txt in
the form of MOTChallenge 2016 (frame, id, x, y, w, h, judged, class, visibility) with 14 as the class of faces, which
`anonymizer evaluate` reads. The same seed makes the same clips. Clips made of pictures that must not be passed on must
not be passed on either.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, U8, Size
from scripts.clips.flight import Flight, fly

Flags = NDArray[np.bool_]

FACE_CLASS = 14  # MOTChallenge ends at 13
EXPOSURE = (0.3, 1.0)  # of the time between two frames; drawn for each clip
JUDGED_SHARE = 0.6  # of a face must be in the picture, or it counts neither as hit nor as miss
SEEN_SHARE = 0.1  # less than this is not in the picture
LOOKED_AT_PX = (12.0, 48.0)  # height on the still of a face worth looking at: zooming out has its limits


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A picture (H, W, 3) BGR and its faces: boxes (N, 4) x1 y1 x2 y2, and whether each is judged (N,)."""

    picture: U8
    faces: F32
    judged: Flags


@dataclass(frozen=True, slots=True)
class Film:
    """What all clips have in common."""

    size: Size = field(default_factory=lambda: Size(960, 540))
    fps: int = 25
    seconds: float = 4.0

    @property
    def frames(self) -> int:
        """Pictures of a clip."""
        return round(self.fps * self.seconds)


def make_clip(still: Still, film: Film, folder: Path, rng: np.random.Generator) -> None:
    """Write clip.mp4 and gt.txt of one still into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    height, width = still.picture.shape[:2]
    targets = still.faces[worth_looking_at(still.faces, still.judged)]
    flight = fly(Size(width, height), targets, film.size, film.frames, film.fps, rng)
    defocus, noise, crf = rng.uniform(0, 1.2), rng.uniform(0, 5), rng.integers(23, 36)
    exposure = rng.uniform(*EXPOSURE)
    light = 1 + 0.12 * np.sin(2 * np.pi * (rng.uniform(0.1, 0.5) * np.arange(film.frames) / film.fps + rng.uniform()))
    rows: list[str] = []
    with av.open(str(folder / "clip.mp4"), "w") as sink:
        stream = sink.add_stream("libx264", rate=film.fps, options={"preset": "veryfast", "crf": str(crf), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = film.size.width, film.size.height, "yuv420p"
        stream.codec_context.thread_count = 1  # the same seed makes the same bytes
        for index in range(film.frames):
            picture = _exposed(still.picture, flight, index, film.size, exposure).astype(np.float32)
            if defocus > 0.3:
                picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), defocus), np.float32)
            grain = rng.normal(0, noise, picture.shape[:2]).astype(np.float32)[..., None]
            shown = np.clip(picture * np.float32(light[index]) + grain, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(shown, "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, film.fps)
            sink.mux(stream.encode(frame))
            rows += _rows(still, _window(flight, index, film.size), film.size, index + 1)
        sink.mux(stream.encode(None))
    (folder / "gt.txt").write_text("\n".join([*rows, ""]), encoding="utf-8")


def worth_looking_at(faces: F32, judged: Flags) -> Flags:
    """Which faces (N, 4) the camera turns to."""
    height = faces[:, 3] - faces[:, 1]
    return np.asarray(judged & (height >= LOOKED_AT_PX[0]) & (height < LOOKED_AT_PX[1]))


def read_stills(
    labels: Path, is_wanted: Callable[[F32, Flags], Flags] = worth_looking_at
) -> list[tuple[Path, F32, Flags]]:
    """Files, boxes and judged flags of a JSON list of pictures that have a face that is wanted."""
    stills = []
    for entry in json.loads(labels.read_bytes()):
        xywh = np.array([box["xywh"] for box in entry["boxes"]], np.float32).reshape(-1, 4)
        judged = np.array([not box["ignore"] for box in entry["boxes"]], np.bool_)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        if is_wanted(boxes, judged).any():
            stills.append((labels.parent / "images" / entry["file"], boxes, judged))
    return stills


def _window(flight: Flight, at: float, out: Size) -> F32:
    """The matrix (2, 3) that maps the still onto the picture at a time in frames."""
    steps = np.arange(len(flight.widths))
    x, y = (np.interp(at, steps, flight.centres[:, axis]) for axis in (0, 1))
    scale = out.width / np.interp(at, steps, flight.widths)
    return np.array([[scale, 0, out.width / 2 - scale * x], [0, scale, out.height / 2 - scale * y]], np.float32)


def _exposed(still: U8, flight: Flight, index: int, out: Size, exposure: float) -> U8:
    """The picture (H, W, 3) as the sensor sees it while the camera moves: the mean over the exposure time."""
    times = index + exposure * np.linspace(-0.5, 0.5, 5)
    pictures = [cv2.warpAffine(still, _window(flight, at, out), (out.width, out.height)) for at in times]
    return np.asarray(np.mean(pictures, axis=0), np.uint8)


def _rows(still: Still, window: F32, out: Size, number: int) -> list[str]:
    rows = []
    scale, shift = window[0, 0], window[:, 2]
    for face, (box, judged) in enumerate(zip(still.faces, still.judged, strict=True), 1):
        x1, y1, x2, y2 = (box * scale + np.tile(shift, 2)).tolist()
        inside = max(0.0, min(x2, out.width) - max(x1, 0)) * max(0.0, min(y2, out.height) - max(y1, 0))
        share = inside / max((x2 - x1) * (y2 - y1), 1e-9)
        if share >= SEEN_SHARE:
            counts = int(judged and share >= JUDGED_SHARE)
            place = f"{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
            rows.append(f"{number},{face},{place},{counts},{FACE_CLASS},{share:.3f}")
    return rows


def main() -> None:
    """Make the clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="JSON list of files and boxes, the pictures in images/ beside it")
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    film = Film(seconds=options.seconds)
    stills = read_stills(options.labels)
    chosen = np.random.default_rng(options.seed).permutation(len(stills))[: options.clips]
    for number, at in enumerate(chosen.tolist(), 1):
        path, faces, judged = stills[at]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if picture is None:
            raise SystemExit(f"{path} is missing or is no picture")
        rng = np.random.default_rng([options.seed, number])
        make_clip(Still(np.asarray(picture, np.uint8), faces, judged), film, options.out / f"{number:02}", rng)
        print(f"{options.out / f'{number:02}'}: {path.name}, {len(faces)} faces")


if __name__ == "__main__":
    main()
