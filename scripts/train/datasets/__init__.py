"""Reads, converts, splits, measures and shows labelled pictures, and makes them out of clips."""
