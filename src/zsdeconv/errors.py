"""Exceptions. Every message names the value met, the limit it breaks and the next action.

The command line prints a `UserError` as one line and exits with 2; anything else is a fault of ours and exits with 1.
"""


class UserError(Exception):
    """Something the user can mend: a file, an option, a physical impossibility."""


class ImageError(UserError):
    """An image that cannot be read, or that no method could restore."""


class OpticsError(UserError):
    """Optics, PSF or OTF that contradict physics or the image."""


class ConfigError(UserError):
    """Options that are unknown, out of range or contradict each other."""


class ModelError(UserError):
    """A model file that is damaged, hostile, or made for other data."""


class OutputError(UserError):
    """A result that cannot be written where it was asked for."""


class DataWarning(UserWarning):
    """Something about the data that lowers the quality of a result without preventing it."""
