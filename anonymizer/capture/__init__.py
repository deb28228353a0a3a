"""Cameras and files in: sources that yield raw frames."""

from anonymizer.capture.demo import DemoDirectory
from anonymizer.capture.opening import longest_silence_s, open_source

__all__ = ["DemoDirectory", "longest_silence_s", "open_source"]
