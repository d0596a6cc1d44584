"""Illumination patterns of structured illumination: their parameters, their images, and the order of the raw frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from zsdeconv.errors import ConfigError, ImageError

Order = Literal["direction-phase", "phase-direction"]
"""Which of the two changes slowest from frame to frame: named first."""

Frames = TypeVar("Frames", bound=Any)

DEPTH_RANGE = (0.1, 1.0)
"""Modulation depths that a reconstruction works with: less is no measurement, more is no light."""


@dataclass(frozen=True)
class Layout:
    """How `directions` x `phases` raw frames follow each other.

    Raises `ConfigError` for fewer than three phases (three bands have to be told apart) and for an unknown order.

    >>> Layout(3, 3, "phase-direction").numbers.tolist()
    [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    """

    directions: int = 3
    phases: int = 3
    order: Order = "direction-phase"

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise ConfigError(f"{self.directions} directions: at least 1 is needed; give --directions")
        if self.phases < 3:
            raise ConfigError(f"{self.phases} phases: at least 3 are needed to tell three bands apart; give --phases")
        if self.order not in get_args(Order):
            raise ConfigError(f"order {self.order!r}: it must be {' or '.join(get_args(Order))}; give --order")

    @property
    def frames(self) -> int:
        """Number of raw frames."""
        return self.directions * self.phases

    @property
    def numbers(self) -> np.ndarray:
        """Number of each frame in the file (direction phase)."""
        if self.order == "direction-phase":
            return np.arange(self.frames).reshape(self.directions, self.phases)
        return np.arange(self.frames).reshape(self.phases, self.directions).T

    @property
    def swapped(self) -> Layout:
        """The same numbers in the other order."""
        first, second = get_args(Order)
        return Layout(self.directions, self.phases, second if self.order == first else first)

    def split(self, frames: Frames) -> Frames:
        """Frames (n ...) as (direction phase ...). Raises `ImageError` when their number is another."""
        self.require(len(frames))
        return frames[self.numbers]

    def require(self, count: int) -> None:
        """Raise `ImageError` unless a file of `count` frames has this layout."""
        if count != self.frames:
            raise ImageError(
                f"{count} raw frames: {self.directions} directions x {self.phases} phases are {self.frames}; "
                "give --directions and --phases, or --axes if the planes are something else"
            )


@dataclass(frozen=True)
class Direction:
    """The pattern of one direction: `1 + depth cos(2 pi p.r + phase_rad + phases_rad[i])` in its i-th frame.

    `p_per_um` is the wave vector (y, x) in cycles per micrometre, `r` the place (y, x) relative to the centre of the first pixel.
    `gains` are the fixed factors that make the frames equally bright, `score` is the height of the peak in which `p` was found,
    over the median (0: not measured).

    Raises `ConfigError` for values that no pattern has.

    >>> Direction((0.0, 4.0), 0.8, 0.3, (0.0, 2.0, 4.0), (1.0, 1.0, 1.0)).period_um
    0.25
    """

    p_per_um: tuple[float, float]
    depth: float
    phase_rad: float
    phases_rad: tuple[float, ...]
    gains: tuple[float, ...]
    score: float = 0.0

    def __post_init__(self) -> None:
        for name in ("p_per_um", "phases_rad", "gains"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        numbers = [*self.p_per_um, self.depth, self.phase_rad, *self.phases_rad, *self.gains, self.score]
        if not np.isfinite(numbers).all():
            raise ConfigError(f"SIM parameters {numbers}: all must be finite numbers; estimate them again")
        if len(self.p_per_um) != 2 or not any(self.p_per_um):
            raise ConfigError(f"SIM wave vector {self.p_per_um}: two numbers (y, x) that are not both 0 are needed; estimate them again")
        if not DEPTH_RANGE[0] <= self.depth <= DEPTH_RANGE[1]:
            low, high = DEPTH_RANGE
            raise ConfigError(f"SIM modulation depth {self.depth:g}: it must lie between {low:g} and {high:g}; estimate it again")
        if len(self.phases_rad) < 3 or len(self.gains) != len(self.phases_rad):
            counts = f"{len(self.phases_rad)} phases and {len(self.gains)} gains"
            raise ConfigError(f"SIM direction with {counts}: one each for every frame, 3 at least; estimate them again")
        if min(self.gains) <= 0:
            raise ConfigError(f"SIM frame gain {min(self.gains):g}: it must be positive; estimate it again")
        if np.linalg.matrix_rank(self._mixing()) < 3:
            phases = ", ".join(f"{phase:.3g}" for phase in self.phases_rad)
            raise ConfigError(f"SIM phases {phases} rad: they do not tell three bands apart; give three different ones at least")

    @property
    def c1(self) -> complex:
        """Complex strength of order 1, `depth / 2 exp(i phase)`; that of order 0 is 1, that of order -1 the conjugate."""
        return self.depth / 2 * complex(math.cos(self.phase_rad), math.sin(self.phase_rad))

    @property
    def period_um(self) -> float:
        """Distance of two stripes."""
        return 1 / math.hypot(*self.p_per_um)

    @property
    def angle_deg(self) -> float:
        """Direction of the wave vector, from +x towards +y (downwards in the image), -180 to 180."""
        return math.degrees(math.atan2(*self.p_per_um))

    def separation(self) -> np.ndarray:
        """`M^+` (order frame): what the frames are multiplied by to give the bands of orders 0, 1 and -1, gains included."""
        return np.linalg.pinv(self._mixing()) * np.array(self.gains)

    def _mixing(self) -> np.ndarray:
        """`M` (frame order): each frame as a sum of the bands of orders 0, 1, -1."""
        return np.exp(1j * np.multiply.outer(self.phases_rad, (0, 1, -1)))


@dataclass(frozen=True)
class SimParameters:
    """Everything that a reconstruction has to know about the illumination: one `Direction` each, the order of the frames in the
    file, the pixel size at which they were measured, and what made them (`made_from`, free, plain values).

    >>> from zsdeconv.sim.patterns import Direction
    >>> stripes = Direction((0.0, 4.0), 0.8, 0.3, (0.0, 2.0, 4.0), (1.0, 1.0, 1.0))
    >>> parameters = SimParameters((stripes,), pixel_um=0.08)
    >>> SimParameters.from_yaml(parameters.to_yaml(), "sim.yaml") == parameters
    True
    """

    directions: tuple[Direction, ...]
    pixel_um: float
    order: Order = "direction-phase"
    made_from: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = {len(direction.phases_rad) for direction in self.directions}
        if len(counts) != 1:
            raise ConfigError(f"SIM directions with {sorted(counts)} phases: all need equally many; estimate them again")
        if not (np.isfinite(self.pixel_um) and self.pixel_um > 0):
            raise ConfigError(f"SIM parameters for a pixel of {self.pixel_um} um: it must be positive; estimate them again")
        assert self.layout

    @property
    def layout(self) -> Layout:
        """How the frames follow each other."""
        return Layout(len(self.directions), len(self.directions[0].phases_rad), self.order)

    def to_yaml(self) -> str:
        """As YAML, which `from_yaml` reads; angle and period are added for people."""
        import yaml

        rows = [_row(direction) for direction in self.directions]
        return yaml.safe_dump(
            {"order": self.order, "pixel_um": self.pixel_um, "directions": rows, "made_from": dict(self.made_from)}, sort_keys=False
        )

    @classmethod
    def from_yaml(cls, text: str, source: str) -> SimParameters:
        """The parameters in `text`, which came from `source`. Raises `ConfigError` when it holds none."""
        import yaml

        advice = "give the file that `zsdeconv sim estimate` writes"
        try:
            content = yaml.safe_load(text)
            directions = tuple(_direction(row) for row in content["directions"])
            return cls(directions, float(content["pixel_um"]), content.get("order", "direction-phase"), content.get("made_from") or {})
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
        except KeyError as error:
            raise ConfigError(f"{source}: no entry {error} of SIM parameters; {advice}") from None
        except (yaml.YAMLError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{source}: holds no SIM parameters ({' '.join(str(error).split())[:120]}); {advice}") from None


def read_parameters(path: str | Path) -> SimParameters:
    """The SIM parameters in a YAML file. Raises `ConfigError` when it cannot be read or holds none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"SIM parameters {path}: {reason}; give the file that `zsdeconv sim estimate` writes") from None
    return SimParameters.from_yaml(text, Path(path).name)


def illumination(parameters: SimParameters, yx_shape: tuple[int, int], spacing_um: Sequence[float]) -> np.ndarray:
    """The pattern of each raw frame (frame y x), mean 1, in the order of the file, on a grid of `spacing_um` (y, x).

    `1 + depth cos(2 pi p.r + phase + phases[i])`, with r = 0 at the centre of the first pixel.

    >>> stripes = Direction((0.0, 4.0), 0.8, 0.0, (0.0, 2.0, 4.0), (1.0, 1.0, 1.0))
    >>> illumination(SimParameters((stripes,), 0.125), (1, 3), (0.125, 0.125))[0].round(6).tolist()
    [[1.8, 0.2, 1.8]]
    """
    y, x = (s * np.arange(n) for n, s in zip(yx_shape, spacing_um, strict=True))
    images = np.empty((parameters.layout.frames, *yx_shape))
    for numbers, direction in zip(parameters.layout.numbers, parameters.directions, strict=True):
        turn = 2 * np.pi * np.add.outer(direction.p_per_um[0] * y, direction.p_per_um[1] * x) + direction.phase_rad
        images[numbers] = 1 + direction.depth * np.cos(turn + np.array(direction.phases_rad)[:, None, None])
    return images


def nominal_phases_rad(count: int) -> tuple[float, ...]:
    """Equal steps through one period: what a microscope is told to do.

    >>> nominal_phases_rad(4)[2] == np.pi
    True
    """
    return tuple(2 * math.pi * i / count for i in range(count))


def _row(direction: Direction) -> dict[str, Any]:
    row = {name: list(value) if isinstance(value, tuple) else float(value) for name, value in asdict(direction).items()}
    return {"angle_deg": round(direction.angle_deg, 4), "period_um": round(direction.period_um, 6)} | row


def _direction(row: Mapping[str, Any]) -> Direction:
    pair, phases, gains = (tuple(float(v) for v in row[name]) for name in ("p_per_um", "phases_rad", "gains"))
    if len(pair) != 2:
        raise ConfigError(f"SIM wave vector {pair}: two numbers (y, x) are needed; estimate them again")
    return Direction((pair[0], pair[1]), float(row["depth"]), float(row["phase_rad"]), phases, gains, float(row.get("score", 0.0)))
