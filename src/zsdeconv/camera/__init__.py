"""Noise: the camera's variance law, its calibration from data, and the pairs made with it."""

from zsdeconv.camera.calibrate import Calibration, calibrate, plot_calibration
from zsdeconv.camera.detector import Camera, signal_estimate

__all__ = ["Calibration", "Camera", "calibrate", "plot_calibration", "signal_estimate"]
