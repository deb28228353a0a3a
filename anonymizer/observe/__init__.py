"""What operators see: metrics, logs, service notifications."""
