"""A small head on the frozen face embedder that tells one person from everybody else, and what it is worth."""
