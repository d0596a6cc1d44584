"""The camera: its variance law and its calibration from images."""

from zsdeconv.camera.calibrate import Calibration, calibrate
from zsdeconv.camera.detector import Camera, signal_estimate
from zsdeconv.camera.transfer_plot import plot_calibration

__all__ = ["Calibration", "Camera", "calibrate", "plot_calibration", "signal_estimate"]
