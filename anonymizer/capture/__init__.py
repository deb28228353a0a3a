"""Cameras and files in: sources that yield raw frames."""

from anonymizer.capture.demo import DemoDirectory
from anonymizer.capture.opening import open_source

__all__ = ["DemoDirectory", "open_source"]
