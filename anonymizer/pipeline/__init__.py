"""Threads, mailboxes and the camera actor."""
