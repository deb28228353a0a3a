"""Frames to boxes: letterbox, engine, families, NMS."""
