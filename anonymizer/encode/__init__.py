"""Redacted frames to H.264."""
