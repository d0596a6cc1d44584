"""Statistics that the checks share."""
