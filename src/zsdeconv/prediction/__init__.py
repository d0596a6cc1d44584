"""Prediction: tiles and passes, intensity correction, time series, destriping, and the standard error."""
