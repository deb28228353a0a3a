"""Metrics, logs, systemd notifications."""
