"""The web server: status page, live pictures, metrics, health."""
