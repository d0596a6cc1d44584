"""The checks of a report, one file each."""
