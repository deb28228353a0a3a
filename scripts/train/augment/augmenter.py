"""Changes one labelled picture at random, as typed settings say: where it stands, its light, and its damage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anonymizer.types import U8
from scripts.train.augment.compose import cover_lower_face
from scripts.train.augment.damage import defocus, h264, jpeg, lose_resolution, motion_blur, sensor_noise
from scripts.train.augment.light import colour, infrared, tone
from scripts.train.augment.warp import affine, warp
from scripts.train.picture import Picture

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much is changed; `..._share` is the probability of a step, a range is drawn from evenly."""

    canvas_px: tuple[int, int] | None = (320, 320)  # width, height; None: the picture's own size
    object_height_px: Range | None = (5.0, 200.0)  # a box is chosen and brought to a log-uniform height; None: see zoom
    zoom: Range = (0.7, 1.4)  # log-uniform; 1 fits the picture into the canvas; where no box is chosen
    min_zoom: float = 0.8  # of the zoom that fits the picture in: the rest of the canvas would be empty
    max_zoom: float = 3.0  # over the picture's own pixels: enlarging further shows only blur
    flip_share: float = 0.5
    rotation_share: float = 0.4
    rotation_degrees: Range = (-12.0, 12.0)
    shear_share: float = 0.2
    shear: Range = (-0.1, 0.1)  # pixels to the right for each pixel down
    shift: float = 0.15  # of the canvas, both ways; where no box is chosen
    min_visible: float = 0.4  # boxes of which less is left inside are ignored
    min_side_px: float = 3.0  # smaller boxes are ignored
    tone_share: float = 0.6
    gain: Range = (0.6, 1.3)
    gamma: Range = (0.6, 1.7)
    offset: Range = (-0.08, 0.12)
    colour_share: float = 0.5
    hue_degrees: Range = (-15.0, 15.0)
    saturation: Range = (0.2, 1.5)
    warmth: Range = (0.75, 1.35)
    infrared_share: float = 0.08
    mask_share: float = 0.08  # of the faces
    face_class_id: int | None = 0  # whose lower half a mask may cover; None: no masks
    blur_share: float = 0.15
    blur_px: Range = (0.5, 1.6)
    motion_px: Range = (2.0, 7.0)
    low_resolution_share: float = 0.1
    low_resolution: Range = (1.3, 2.5)
    noise_share: float = 0.25
    noise: Range = (2.0, 14.0)  # levels of 255
    jpeg_share: float = 0.25
    jpeg_quality: Range = (20.0, 90.0)
    h264_share: float = 0.04  # a real encoder and decoder: by far the dearest step
    h264_crf: Range = (26.0, 42.0)


class Augmenter:
    """Applies the steps in the order in which a camera does: scene, lens, sensor, codec."""

    def __init__(self, settings: Augmentation) -> None:
        self._settings = settings

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """A new picture; the same generator state gives the same one."""
        moved = self._move(picture, rng)
        image = self._dress(moved, rng)
        image = self._light(image, rng)
        image = self.damage(image, rng)
        return Picture(image, moved.boxes, moved.class_ids, moved.ignore)

    def damage(self, image: U8, rng: np.random.Generator) -> U8:
        """What lens, sensor and codec alone do; nothing moves."""
        settings = self._settings
        if rng.random() < settings.blur_share:
            if rng.random() < 0.5:
                image = defocus(image, rng.uniform(*settings.blur_px))
            else:
                image = motion_blur(image, rng.uniform(*settings.motion_px), rng.uniform(0, 180))
        if rng.random() < settings.low_resolution_share:
            image = lose_resolution(image, rng.uniform(*settings.low_resolution))
        if rng.random() < settings.noise_share:
            image = sensor_noise(image, rng.uniform(*settings.noise), int(rng.integers(1, 4)), rng)
        if rng.random() < settings.jpeg_share:
            image = jpeg(image, round(rng.uniform(*settings.jpeg_quality)))
        if rng.random() < settings.h264_share:
            shift_y, shift_x = rng.integers(-6, 7, 2).tolist()
            image = h264(image, round(rng.uniform(*settings.h264_crf)), (shift_y, shift_x))
        return image

    def _move(self, picture: Picture, rng: np.random.Generator) -> Picture:
        settings = self._settings
        height, width = picture.image.shape[:2]
        canvas = np.array(settings.canvas_px or (width, height), np.float64)
        fit = float((canvas / (width, height)).min())
        choices = np.flatnonzero(~picture.ignore)
        if settings.object_height_px is not None and len(choices):
            box = picture.boxes[choices[int(rng.integers(len(choices)))]].astype(np.float64)
            wanted = math.exp(rng.uniform(*np.log(settings.object_height_px)))
            zoom = min(max(wanted / max(box[3] - box[1], 1.0), settings.min_zoom * fit), settings.max_zoom)
            about = (box[:2] + box[2:]) / 2
            half = np.minimum(zoom * (box[2:] - box[:2]) / 2, canvas / 2)
            to = self._place(about, half, zoom, canvas, np.array([width, height], np.float64), rng)
        else:
            zoom = fit * math.exp(rng.uniform(*np.log(settings.zoom)))
            about = np.array([width, height]) / 2
            to = canvas * (0.5 + rng.uniform(-settings.shift, settings.shift, 2))
        matrix = affine(
            degrees=rng.uniform(*settings.rotation_degrees) if rng.random() < settings.rotation_share else 0.0,
            shear=rng.uniform(*settings.shear) if rng.random() < settings.shear_share else 0.0,
            zoom=zoom,
            flip=rng.random() < settings.flip_share,
            about=about,
            to=to,
        )
        return warp(
            picture,
            matrix,
            int(canvas[0]),
            int(canvas[1]),
            fill=int(rng.integers(256)),
            min_visible=settings.min_visible,
            min_side_px=settings.min_side_px,
        )

    @staticmethod
    def _place(
        about: np.ndarray, half: np.ndarray, zoom: float, canvas: np.ndarray, size: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Where the chosen box's middle goes: the box inside the canvas, picture and canvas one inside the other."""
        # on these two lines the picture's edges meet the canvas's; between them one lies inside the other
        edges = np.sort([zoom * about, canvas - zoom * (size - about)], axis=0)
        low, high = np.clip(edges, half, canvas - half)
        return np.asarray(rng.uniform(low, high))

    def _dress(self, picture: Picture, rng: np.random.Generator) -> U8:
        settings = self._settings
        image = picture.image
        if settings.face_class_id is None or settings.mask_share <= 0:
            return image
        chosen = (rng.random(len(picture.boxes)) < settings.mask_share) & ~picture.ignore
        for box in picture.boxes[chosen & (picture.class_ids == settings.face_class_id)]:
            cover_lower_face(image, box, rng)
        return image

    def _light(self, image: U8, rng: np.random.Generator) -> U8:
        settings = self._settings
        if rng.random() < settings.infrared_share:
            image = infrared(image, rng)
        elif rng.random() < settings.colour_share:
            image = colour(
                image,
                hue_degrees=rng.uniform(*settings.hue_degrees),
                saturation=rng.uniform(*settings.saturation),
                warmth=rng.uniform(*settings.warmth),
            )
        if rng.random() < settings.tone_share:
            gain, offset = rng.uniform(*settings.gain), rng.uniform(*settings.offset)
            image = tone(image, gain=gain, gamma=math.exp(rng.uniform(*np.log(settings.gamma))), offset=offset)
        return image
