"""The version, read by the build, the command line and the provenance of every result."""

__version__ = "0.2.0"
