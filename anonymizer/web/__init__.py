"""Status page, live pictures, health."""
