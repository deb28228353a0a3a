"""Real people without a camera: a local RTSP server in a child process, played from portraits or from a clip."""
