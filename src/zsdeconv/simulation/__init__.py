"""Simulated recordings of a known object: structures, scenes, and what a camera makes of them."""
