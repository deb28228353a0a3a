"""Typed settings: one schema with every default, one loader with line numbers."""
