"""What light and colour do to a picture: exposure, white balance, hue, and infrared at night."""

from __future__ import annotations

import math

import cv2
import numpy as np

from anonymizer.types import U8

LUMA = np.array([0.299, 0.587, 0.114])  # BT.601


def tone(image: U8, *, gain: float, gamma: float, offset: float) -> U8:
    """`gain * x ** gamma + offset` with x in 0-1: exposure, contrast and black level of a camera."""
    levels = (np.arange(256) / 255) ** gamma * gain + offset
    return np.asarray(cv2.LUT(image, np.rint(255 * levels.clip(0, 1)).astype(np.uint8)), np.uint8)


def colour(image: U8, *, hue_degrees: float, saturation: float, warmth: float) -> U8:
    """Hue turned about the grey axis, colours scaled, red against blue (warmth 1.2: warm light)."""
    turn = math.radians(hue_degrees)
    axis = np.full(3, 1 / math.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = math.cos(turn) * np.eye(3) + math.sin(turn) * cross + (1 - math.cos(turn)) * np.outer(axis, axis)
    grey = np.tile(LUMA, (3, 1))
    mixed = grey + saturation * (rotation - grey)
    balance = np.diag([math.sqrt(warmth), 1.0, 1 / math.sqrt(warmth)])
    return np.asarray(cv2.transform(image, balance @ mixed), np.uint8)


def infrared(image: U8, rng: np.random.Generator) -> U8:
    """A night camera: grey, reddish things bright, a lamp's round light that falls off to dark corners."""
    weights = np.array([rng.uniform(0.4, 0.8), rng.uniform(0.1, 0.4), 0.0])
    weights[2] = max(0.0, 1 - weights.sum())
    grey = cv2.transform(image, weights[None])
    height, width = grey.shape[:2]
    x = (np.arange(width, dtype=np.float32) / width - rng.uniform(0.35, 0.65)) ** 2
    y = (np.arange(height, dtype=np.float32) / height - rng.uniform(0.35, 0.65)) ** 2
    fall_off = np.float32(rng.uniform(0.8, 3.0))
    lamp = np.float32(rng.uniform(0.9, 1.4)) / (1 + fall_off * (x[None] + y[:, None])) ** 2
    lit = cv2.multiply(grey, lamp, dtype=cv2.CV_8U)
    return np.asarray(cv2.cvtColor(lit, cv2.COLOR_GRAY2RGB), np.uint8)
