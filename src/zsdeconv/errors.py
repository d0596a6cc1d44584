"""Exceptions. Every message is one line that states the value, the limit it violates and the next action.

"VALUE, LIMIT; NEXT ACTION". The library names arguments ("give pixel_um"); the command line replaces them by its options
(`--pixel-um`), prints a `UserError` as one line and exits with 2. Every other exception is a fault of the program and exits with 1.
"""


class UserError(Exception):
    """An error that the user can correct: in a file, in a setting, or a contradiction to physics."""


class ImageError(UserError):
    """An image that cannot be read or restored."""


class OpticsError(UserError):
    """Optics, a PSF or an OTF that contradict physics or the image."""


class ConfigError(UserError):
    """Settings that are unknown, out of range, or contradict each other."""


class ModelError(UserError):
    """A model file that is damaged, unsafe, or made for other data."""


class OutputError(UserError):
    """A result that cannot be written to the requested place."""


class DataWarning(UserWarning):
    """A property of the data that lowers the quality of the result without preventing it."""
