"""The device to compute on."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from zsdeconv.errors import ConfigError


def choose_device(requested: str) -> torch.device:
    """The device with the name `requested`; with "auto" the fastest there is. Raises `ConfigError` when this machine lacks it.

    >>> choose_device("cpu").type
    'cpu'
    """
    available = dict(_available())
    if requested == "auto":
        return next(iter(available.values()))
    if requested not in available:
        raise ConfigError(f"device {requested!r}: this machine has {', '.join(available)}; give device auto")
    return available[requested]


def _available() -> Iterator[tuple[str, torch.device]]:
    if torch.cuda.is_available():
        yield "cuda", torch.device("cuda")
    if torch.backends.mps.is_available():
        yield "mps", torch.device("mps")
    yield "cpu", torch.device("cpu")
