"""Measures on clips with ground truth what the whole pipeline leaves bare, and for how long."""
