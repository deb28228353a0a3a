"""Fixtures that several modules use."""

from tests.web_rig import start, web  # noqa: F401 - pytest finds them here
