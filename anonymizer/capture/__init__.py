"""Sources of raw frames: cameras and files."""

from anonymizer.capture.demo import DemoDirectory
from anonymizer.capture.opening import longest_silence_s, open_source, reconnects

__all__ = ["DemoDirectory", "longest_silence_s", "open_source", "reconnects"]
