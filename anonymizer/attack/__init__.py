"""Attacks on our own masks: how often the person behind a masked face is still named."""
