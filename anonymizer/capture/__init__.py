"""Cameras and files in: sources that yield raw frames."""
