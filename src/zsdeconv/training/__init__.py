"""Training: losses, objectives, the loop, and views of objects that augment the data."""
