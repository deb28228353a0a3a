"""Measures on labelled pictures what detectors find and what their masks leave bare."""
