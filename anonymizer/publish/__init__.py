"""H.264 packets to viewers."""
