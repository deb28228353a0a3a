"""Reads labels of pictures, one module a format."""
