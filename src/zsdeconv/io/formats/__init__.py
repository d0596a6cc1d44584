"""One module for each file format; the table of them is `zsdeconv.io.readers`."""
