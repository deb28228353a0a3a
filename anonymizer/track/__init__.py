"""Detections over time: Kalman filter, association, tracker."""
