"""The audit looks with other eyes than the pipeline, or the installer is told so."""

from __future__ import annotations

import pytest

from anonymizer.audit import same_eyes
from anonymizer.settings.schema import AuditSettings, DetectSettings, Settings

SMALL, BIG = "anonymizer-face-small-int8", "centerface-960-int8"


@pytest.mark.parametrize(
    ("face", "second", "enabled", "is_warned"),
    [
        (BIG, SMALL, True, False),
        (SMALL, SMALL, True, True),
        ("anonymizer-face-far-float32", SMALL, True, True),
        (BIG, "centerface-slim-960-int8", True, True),
        (BIG, BIG, False, False),
        (BIG, "no-such-model", True, False),
    ],
)
def test_a_second_model_of_the_same_origin_as_the_first_is_warned_of(
    face: str, second: str, enabled: bool, is_warned: bool
) -> None:
    settings = Settings(detect=DetectSettings(face_model=face), audit=AuditSettings(model=second, enabled=enabled))
    assert [text.split()[1] for text in same_eyes(settings)] == [second] * is_warned


def test_the_default_audit_is_of_another_origin_than_the_default_detector() -> None:
    assert list(same_eyes(Settings())) == []
