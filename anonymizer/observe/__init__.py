"""What operators see: metrics, logs, notifications of systemd and of a web address."""
