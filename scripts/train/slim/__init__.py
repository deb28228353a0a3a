"""A finished detector made narrower: fewer channels inside, then taught by the file that it was."""
