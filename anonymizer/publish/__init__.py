"""Brings H.264 packets to viewers: the hub, the RTSP server, pushes."""
