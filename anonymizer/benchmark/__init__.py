"""Measures this device and says what it can do: `anonymizer benchmark`."""
