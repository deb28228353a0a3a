"""Pictures from registry packages turned into inputs, and the value ranges that a float model shows on them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

U8 = NDArray[np.uint8]
Ranges = dict[str, tuple[float, float]]

_MOSAICS = (2, 3)
_GAMMAS = (0.45, 1.0, 2.2)


def views(pictures: Sequence[Image.Image], width: int, height: int) -> Iterator[U8]:
    """Inputs (height, width, 3) that show clear faces and bodies at several sizes, in bright, plain and dim light.

    Each picture is shown whole, stretched, and by its upper quarter enlarged; mosaics of all show people small.
    """
    for view in _views(pictures, width, height):
        for gamma in _GAMMAS:
            yield np.rint(255 * (np.asarray(view) / 255) ** gamma).astype(np.uint8)


def _views(pictures: Sequence[Image.Image], width: int, height: int) -> Iterator[Image.Image]:
    size = (width, height)
    for picture in pictures:
        w, h = picture.size
        yield letterbox(picture, *size)
        yield picture.resize(size, Image.Resampling.BOX)
        yield letterbox(picture.crop((w // 4, 0, w * 3 // 4, h // 2)), *size)
    for cells in _MOSAICS:
        tile = (-(-width // cells), -(-height // cells))
        for start in range(len(pictures)):
            canvas = Image.new("RGB", size)
            for cell in range(cells * cells):
                picture = pictures[(start + cell) % len(pictures)]
                canvas.paste(letterbox(picture, *tile), (cell % cells * tile[0], cell // cells * tile[1]))
            yield canvas


def letterbox(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture scaled to fit, top-left aligned on black."""
    scale = min(width / picture.width, height / picture.height)
    fitted = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)
    canvas = Image.new("RGB", (width, height))
    canvas.paste(fitted)
    return canvas


def measure(model: bytes, inputs: Iterable[U8], *, mean: float, limits: Ranges) -> Ranges:
    """Least and greatest value of every float tensor over all inputs: absolute, for averages clip rare faces.

    `limits` replaces what was seen in tensors whose names start with one of its keys.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # keeping all tensors takes memory; that is why we are here
        interpreter = Interpreter(model_content=model, num_threads=2, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]
    tensors = [item for item in interpreter.get_tensor_details() if not item["name"].startswith("constant_")]
    ranges: Ranges = {}
    for picture in inputs:
        interpreter.set_tensor(image["index"], picture[None].astype(np.float32) - np.float32(mean))
        interpreter.invoke()
        for tensor in tensors:
            values = interpreter.get_tensor(tensor["index"])
            low, high = ranges.get(tensor["name"], (np.inf, -np.inf))
            ranges[tensor["name"]] = (min(low, float(values.min())), max(high, float(values.max())))
    for name in ranges:
        for prefix, limit in limits.items():
            if name.startswith(prefix):
                ranges[name] = limit
    return ranges
