"""Encodes redacted frames as H.264."""
