"""Results as a page for the browser: found by one of their files, set beside the recorded image, coded, and written as one file."""
