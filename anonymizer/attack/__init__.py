"""Attacks on our own masks: how often a masked face is still told whose it is."""
