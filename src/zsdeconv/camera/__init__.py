"""The camera: its variance law and its calibration from images."""

from zsdeconv.camera.calibrate import Calibration, calibrate, plot_calibration
from zsdeconv.camera.detector import Camera, signal_estimate

__all__ = ["Calibration", "Camera", "calibrate", "plot_calibration", "signal_estimate"]
