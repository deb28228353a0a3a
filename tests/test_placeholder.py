"""Placeholders: pictures without a camera's pixels, for as long as it is away."""

from __future__ import annotations

import pytest

from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.types import Reason, RedactedFrame, Size

SMALL = Size(320, 180)


def placeholder(text: str, size: Size = SMALL) -> RedactedFrame:
    return Redactor(RedactSettings()).placeholder("door", -1, size, 10, 20, 30, text)


def test_a_placeholder_is_a_dark_picture_with_a_text() -> None:
    result = placeholder("door: no signal")
    assert (result.camera_id, result.seq, result.pts_ns, result.captured_ns, result.wall_ns) == ("door", -1, 10, 20, 30)
    assert (result.whole_frame, result.regions, result.size) == (Reason.NO_SIGNAL, (), SMALL)
    assert (result.i420[180:] == 128).all()
    assert result.planes.y.min() == result.planes.y[0, 0] == 40
    assert 0.002 < (result.planes.y > 100).mean() < 0.2
    assert not result.i420.flags.writeable


@pytest.mark.parametrize("text", ["", "x" * 300, "Tür: kein Signal"])
@pytest.mark.parametrize("size", [Size(2, 2), Size(16, 16), Size(640, 360)])
def test_any_text_fits_into_any_placeholder(text: str, size: Size) -> None:
    result = placeholder(text, size)
    assert result.size == size
    if size.width >= 640:
        assert (result.planes.y[:, :4] == 40).all()


def test_a_placeholder_with_odd_sides_is_refused() -> None:
    with pytest.raises(ValueError, match="even sides"):
        placeholder("x", Size(319, 180))
