"""Structured illumination: the pattern estimated once, then the reconstruction as a fixed linear operator."""
