"""Reads the picture files of the effect `image` and checks that they are pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from anonymizer.redact.image import decode_picture
from anonymizer.settings.document import Document, Loc, Value
from anonymizer.settings.schema import MaskSettings, RedactSettings, Settings
from anonymizer.types import Effect

_MAX_BYTES = 4 * 1024 * 1024


def read_pictures(document: Document) -> None:
    """Replace the name of each `image` file by its content; files that cannot be used are reported."""
    for loc, redact in _redact_sections(document.data):
        name = redact.get("image")
        if name is None:
            continue
        del redact["image"]
        try:
            redact["image"] = _read(name)  # type: ignore[assignment]  # bytes, which no YAML can hold
        except ValueError as error:
            document.report((*loc, "image"), str(error))


def _read(name: Value) -> bytes:
    if not isinstance(name, str) or not Path(name).is_absolute():
        raise ValueError("must be the whole path of a picture file, beginning with /")
    try:
        if Path(name).exists() and not Path(name).is_file():  # reading a pipe would wait for ever
            raise ValueError("it is no file")
        with Path(name).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{name} is larger than {_MAX_BYTES // 1024 // 1024} MiB; scale the picture down")
    try:
        decode_picture(data)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    return data


def check_pictures(document: Document, settings: Settings) -> None:
    """Report masks with the effect `image` that no picture is given for; `settings` are resolved."""
    sections: list[tuple[Loc, RedactSettings]] = [(("redact",), settings.redact)]
    for index, camera in enumerate(settings.cameras):
        sections.append((("cameras", index, "redact"), camera.redact or settings.redact))
    for loc, redact in sections:
        effects: dict[Loc, Effect] = {("zone_effect",): redact.zone_effect}
        effects |= {(kind, "effect"): mask.effect for kind, mask in redact if isinstance(mask, MaskSettings)}
        for key, effect in effects.items():
            if effect is Effect.IMAGE and redact.image is None:
                document.report((*loc, *key), "image needs a picture file; name it beside, as image")


def _redact_sections(data: dict[str, Value]) -> Iterator[tuple[Loc, dict[str, Value]]]:
    cameras = data.get("cameras")
    places: list[tuple[Loc, Value]] = [((), data)]
    places += [(("cameras", index), each) for index, each in enumerate(cameras if isinstance(cameras, list) else [])]
    for loc, place in places:
        section = place.get("redact") if isinstance(place, dict) else None
        if isinstance(section, dict):
            yield (*loc, "redact"), section
