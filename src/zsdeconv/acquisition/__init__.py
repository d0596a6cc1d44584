"""How images are recorded: one file for each way, the measurements it makes, and the noise in them."""
