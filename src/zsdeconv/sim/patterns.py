"""Illumination patterns of structured illumination: their parameters, their images, and the order of the raw frames.

Two beams produce fringes of order 1. Three beams produce fringes of orders 1 and 2, and order 1 is modulated along the optical axis
(`DetectionOtf3d`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from zsdeconv.errors import ConfigError, ImageError

Order = Literal[
    "direction-phase",
    "phase-direction",
    "z-direction-phase",
    "z-phase-direction",
    "direction-z-phase",
    "phase-z-direction",
    "direction-phase-z",
    "phase-direction-z",
]
"""Order of the frames in a file, the slowest axis first. Without z: the order within a plane, one plane after the other."""

Frames = TypeVar("Frames", bound=Any)

DEPTH_RANGES = {1: ((0.1, 1.0),), 2: ((0.1, 1.42), (0.05, 1.0))}
"""Lowest and highest modulation depth of each order, by the highest order of the pattern. The upper ends are laws: intensities are not
negative, and of three beams order 1 is deepest (sqrt 2) where the side beams have 1 / sqrt 2 of the amplitude of the central beam, order
2 (1) without the central beam. The lower ends are chosen: weaker bands hold more noise than signal."""
MIN_PHASES = 3
"""Law: two beams give three bands, and as many unknowns need as many equations."""
RANK_TOLERANCE = 1e-6
"""Chosen: singular values of the mixing matrix below this count as zero; it exceeds the rounding error of phases in a file."""
_COUNT_NAMES = {3: "three", 5: "five"}


@dataclass(frozen=True)
class Layout:
    """Order of the `directions` x `phases` raw frames of one plane, or of each plane of a stack.

    Raises `ConfigError` for fewer than three phases (three bands have to be separated) and for an unknown order.

    >>> Layout(3, 3, "phase-direction").numbers.tolist()
    [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    >>> Layout(2, 5, "direction-z-phase").stack(np.arange(30))[5].tolist()  # first phase of the second direction, in three planes
    [15, 20, 25]
    """

    directions: int = 3
    phases: int = 3
    order: Order = "direction-phase"

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise ConfigError(f"{self.directions} directions: at least 1 is needed; give `directions`")
        if self.phases < MIN_PHASES:
            raise ConfigError(f"{self.phases} phases: at least {MIN_PHASES} are needed to separate three bands; give `phases`")
        if self.order not in get_args(Order):
            raise ConfigError(f"order {self.order!r}: it must be {' or '.join(get_args(Order))}; give `order`")

    @property
    def frames(self) -> int:
        """Number of raw frames of a plane."""
        return self.directions * self.phases

    @property
    def numbers(self) -> np.ndarray:
        """Number of each frame among those of its plane (direction phase)."""
        if self._axes.index("direction") < self._axes.index("phase"):
            return np.arange(self.frames).reshape(self.directions, self.phases)
        return np.arange(self.frames).reshape(self.phases, self.directions).T

    @property
    def swapped(self) -> Layout:
        """The layout with the order of directions and phases exchanged."""
        other = {"direction": "phase", "phase": "direction"}
        words = "-".join(other.get(word, word) for word in self.order.split("-"))
        return Layout(self.directions, self.phases, _as_order(words))

    def others(self, planes: int) -> list[Layout]:
        """The other possible layouts of the pages of `planes` planes, likelier ones first.

        >>> [layout.order for layout in Layout(3, 3).others(1)], len(Layout(3, 5).others(7))
        (['phase-direction'], 5)
        """
        if planes == 1:
            return [self.swapped]
        orders = [order for order in get_args(Order) if "z" in order]
        return [Layout(self.directions, self.phases, order) for order in orders if tuple(order.split("-")) != tuple(self._axes)]

    def stack(self, pages: np.ndarray) -> np.ndarray:
        """The pages of a file (n ...), n = planes x directions x phases, as stacks (frame z ...), frames in the order of a plane.

        Raises `ImageError` when the number of pages is no multiple of the frames of a plane.
        """
        planes = self.planes(len(pages))
        sizes = {"z": planes, "direction": self.directions, "phase": self.phases}
        split = pages.reshape([sizes[axis] for axis in self._axes] + list(pages.shape[1:]))
        return np.moveaxis(split, self._axes.index("z"), 2).reshape(self.frames, planes, *pages.shape[1:])

    def pages(self, stack: np.ndarray) -> np.ndarray:
        """Stacks (frame z ...) as the pages of a file: the inverse of `stack`."""
        first, second = (n for n in self._axes if n != "z")
        sizes = {"direction": self.directions, "phase": self.phases}
        split = stack.reshape(sizes[first], sizes[second], *stack.shape[1:])
        return np.moveaxis(split, 2, self._axes.index("z")).reshape(-1, *stack.shape[2:])

    def planes(self, count: int) -> int:
        """Number of planes in `count` pages. Raises `ImageError` when `count` is no multiple of the frames of a plane."""
        if count < self.frames or count % self.frames:
            raise ImageError(
                f"{count} raw frames: {self.directions} directions x {self.phases} phases are {self.frames} in each plane, and {count} is "
                "no multiple of it; give `directions` and `phases`, or a file with all its planes"
            )
        return count // self.frames

    @property
    def _axes(self) -> Sequence[str]:
        """Axes of the pages, slowest first."""
        words = self.order.split("-")
        return words if "z" in words else ("z", *words)

    def split(self, frames: Frames) -> Frames:
        """Frames (n ...) as (direction phase ...). Raises `ImageError` when their number differs from `frames`."""
        self.require(len(frames))
        return frames[self.numbers]

    def require(self, count: int) -> None:
        """Raise `ImageError` unless a file of `count` frames has this layout."""
        if count != self.frames:
            raise ImageError(
                f"{count} raw frames: {self.directions} directions x {self.phases} phases are {self.frames}; "
                "give `directions` and `phases`, or `axes` if the planes are something else"
            )


@dataclass(frozen=True)
class Direction:
    """The pattern of one direction: `1 + depth cos(u + phase_rad) + depth2 cos(2 u + phase2_rad)`, `u = 2 pi p.r + phases_rad[i]`,
    in its i-th frame.

    Parameters
    ----------
    p_per_um
        Wave vector (y, x) of order 1, cycles per micrometre; `r` is the position (y, x) relative to the centre of the first pixel.
    depth, phase_rad
        Modulation depth and phase of order 1.
    phases_rad, gains
        Phase step of each frame, and the factor that equalises its brightness.
    score
        Height of the correlation peak at `p` over the median (0: not measured).
    depth2, phase2_rad
        The same of order 2: 0 for two beams; for three about half the depth and twice the phase of order 1.

    Raises
    ------
    ConfigError
        For values that are impossible for a pattern, and for fewer phases than bands.

    >>> Direction((0.0, 4.0), 0.8, 0.3, (0.0, 2.0, 4.0), (1.0, 1.0, 1.0)).period_um
    0.25
    >>> three_beams = Direction((0.0, 2.5), 1.2, 0.3, nominal_phases_rad(5), (1,) * 5, depth2=0.6, phase2_rad=0.6)
    >>> three_beams.orders, three_beams.period_um, three_beams.finest_um
    (2, 0.4, 0.2)
    """

    p_per_um: tuple[float, float]
    depth: float
    phase_rad: float
    phases_rad: tuple[float, ...]
    gains: tuple[float, ...]
    score: float = 0.0
    depth2: float = 0.0
    phase2_rad: float = 0.0

    def __post_init__(self) -> None:
        for name in ("p_per_um", "phases_rad", "gains"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        strengths = [self.depth, self.phase_rad, self.depth2, self.phase2_rad]
        numbers = [*self.p_per_um, *strengths, *self.phases_rad, *self.gains, self.score]
        if not np.isfinite(numbers).all():
            raise ConfigError(f"SIM parameters {numbers}: all must be finite numbers; estimate them again")
        if len(self.p_per_um) != 2 or not any(self.p_per_um):
            raise ConfigError(f"SIM wave vector {self.p_per_um}: two numbers (y, x) that are not both 0 are needed; estimate them again")
        for depth, (low, high) in zip(self.depths, DEPTH_RANGES[self.orders], strict=True):
            if not low <= depth <= high:
                raise ConfigError(f"SIM modulation depth {depth:g}: it must lie between {low:g} and {high:g}; estimate it again")
        self._check_frames()

    def _check_frames(self) -> None:
        bands = 2 * self.orders + 1
        if len(self.phases_rad) < bands or len(self.gains) != len(self.phases_rad):
            counts = f"{len(self.phases_rad)} phases and {len(self.gains)} gains"
            raise ConfigError(f"SIM direction with {counts}: one each is needed for every frame, {bands} at least; estimate them again")
        if min(self.gains) <= 0:
            raise ConfigError(f"SIM frame gain {min(self.gains):g}: it must be positive; estimate it again")
        if np.linalg.matrix_rank(mixing(self.phases_rad, self.orders), tol=RANK_TOLERANCE) < bands:
            phases = ", ".join(f"{phase:.3g}" for phase in self.phases_rad)
            raise ConfigError(
                f"SIM phases {phases} rad: they do not separate {_COUNT_NAMES[bands]} bands; give {_COUNT_NAMES[bands]} different ones"
            )

    @property
    def orders(self) -> int:
        """Highest order of the pattern: 1 for two beams, 2 for three."""
        return 2 if self.depth2 else 1

    @property
    def depths(self) -> tuple[float, ...]:
        """Modulation depth of each order from 1 on."""
        return (self.depth, self.depth2)[: self.orders]

    @property
    def strengths(self) -> tuple[complex, ...]:
        """Complex strength `c_m` of each order from 1 on, `depth / 2 exp(i phase)`; order 0 has 1, order -m the conjugate."""
        phases = (self.phase_rad, self.phase2_rad)
        pairs = zip(self.depths, phases, strict=False)
        return tuple(depth / 2 * complex(math.cos(phase), math.sin(phase)) for depth, phase in pairs)

    @property
    def c1(self) -> complex:
        """Complex strength of order 1."""
        return self.strengths[0]

    @property
    def period_um(self) -> float:
        """Period of the fringes of order 1."""
        return 1 / math.hypot(*self.p_per_um)

    @property
    def finest_um(self) -> float:
        """Period of the fringes of the highest order."""
        return self.period_um / self.orders

    @property
    def angle_deg(self) -> float:
        """Direction of the wave vector, from +x towards +y (downwards in the image), -180 to 180."""
        return math.degrees(math.atan2(*self.p_per_um))

    def separation(self) -> np.ndarray:
        """`M^+` (order frame): the matrix that turns frames into the bands of orders 0, 1, -1, 2, -2, gains included."""
        return np.linalg.pinv(mixing(self.phases_rad, self.orders)) * np.array(self.gains)


def mixing(phases_rad: Sequence[float], orders: int) -> np.ndarray:
    """`M` (frame order): each frame as a sum of the bands of orders 0, 1, -1 and so on, `exp(i m phase)`.

    >>> mixing((0.0, np.pi), 1).real.tolist()
    [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0]]
    """
    numbers = [0, *(sign * m for m in range(1, orders + 1) for sign in (1, -1))]
    return np.exp(1j * np.multiply.outer(phases_rad, numbers))


@dataclass(frozen=True)
class SimParameters:
    """Parameters of the illumination, all that a reconstruction needs.

    Parameters
    ----------
    directions
        The pattern of each direction.
    pixel_um, z_um
        Pixel size, and for stacks the step between planes, at which the pattern was measured.
    order
        Order of the frames in the file.
    made_from
        Provenance as plain values, for people.

    >>> from zsdeconv.sim.patterns import Direction
    >>> fringes = Direction((0.0, 4.0), 0.8, 0.3, (0.0, 2.0, 4.0), (1.0, 1.0, 1.0))
    >>> parameters = SimParameters((fringes,), pixel_um=0.08)
    >>> SimParameters.from_yaml(parameters.to_yaml(), "sim.yaml") == parameters
    True
    """

    directions: tuple[Direction, ...]
    pixel_um: float
    order: Order = "direction-phase"
    made_from: Mapping[str, Any] = field(default_factory=dict)
    z_um: float | None = None

    def __post_init__(self) -> None:
        for what, count in (("phases", lambda direction: len(direction.phases_rad)), ("orders", lambda direction: direction.orders)):
            counts = {count(direction) for direction in self.directions}
            if len(counts) != 1:
                raise ConfigError(f"SIM directions with {sorted(counts)} {what}: all need the same number; estimate them again")
        for what, um in (("pixel", self.pixel_um), ("step in z", 1.0 if self.z_um is None else self.z_um)):
            if not (np.isfinite(um) and um > 0):
                raise ConfigError(f"SIM parameters for a {what} of {um} um: it must be positive; estimate them again")
        assert self.layout

    @property
    def layout(self) -> Layout:
        """Order of the frames."""
        return Layout(len(self.directions), len(self.directions[0].phases_rad), self.order)

    @property
    def orders(self) -> int:
        """Highest order of the pattern: 1 for two beams, 2 for three."""
        return self.directions[0].orders

    @property
    def finest_per_um(self) -> float:
        """Highest frequency of the pattern, cycles per micrometre."""
        return max(1 / direction.finest_um for direction in self.directions)

    def to_yaml(self) -> str:
        """The parameters as YAML for `from_yaml`; angle and period are added for people."""
        import yaml

        sizes = {"pixel_um": self.pixel_um} | ({} if self.z_um is None else {"z_um": self.z_um})
        rows = [_row(direction) for direction in self.directions]
        content = {"order": self.order, **sizes, "directions": rows, "made_from": dict(self.made_from)}
        return yaml.safe_dump(content, sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str, source: str) -> SimParameters:
        """The parameters in `text` of the file `source`. Raises `ConfigError` when it holds none."""
        import yaml

        advice = "give the file that `zsdeconv sim estimate` writes"
        try:
            content = yaml.safe_load(text)
            directions = tuple(_direction(row) for row in content["directions"])
            z_um = None if content.get("z_um") is None else float(content["z_um"])
            order = content.get("order", "direction-phase")
            return cls(directions, float(content["pixel_um"]), order, content.get("made_from") or {}, z_um)
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
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"SIM parameters {path}: {reason}; give the file that `zsdeconv sim estimate` writes") from None
    return SimParameters.from_yaml(text, Path(path).name)


def illumination(parameters: SimParameters, yx_shape: tuple[int, int], spacing_um: Sequence[float]) -> np.ndarray:
    """The pattern of each raw frame (frame y x), mean 1, in the order of a plane, on a grid of `spacing_um` (y, x).

    `1 + 2 Re sum_m c_m exp(i m u)`, `u = 2 pi p.r + phases[i]`, with r = 0 at the centre of the first pixel; in focus.

    >>> fringes = Direction((0.0, 4.0), 0.8, 0.0, (0.0, 2.0, 4.0), (1.0, 1.0, 1.0))
    >>> illumination(SimParameters((fringes,), 0.125), (1, 3), (0.125, 0.125))[0].round(6).tolist()
    [[1.8, 0.2, 1.8]]
    """
    y, x = (s * np.arange(n) for n, s in zip(yx_shape, spacing_um, strict=True))
    images = np.empty((parameters.layout.frames, *yx_shape))
    for numbers, direction in zip(parameters.layout.numbers, parameters.directions, strict=True):
        u = 2 * np.pi * np.add.outer(direction.p_per_um[0] * y, direction.p_per_um[1] * x)
        u = u + np.array(direction.phases_rad)[:, None, None]
        images[numbers] = 1 + sum(2 * (c * np.exp(1j * m * u)).real for m, c in enumerate(direction.strengths, 1))
    return images


def nominal_phases_rad(count: int) -> tuple[float, ...]:
    """Equal phase steps through one period, the usual setting of a microscope.

    >>> nominal_phases_rad(4)[2] == np.pi
    True
    """
    return tuple(2 * math.pi * i / count for i in range(count))


def _as_order(words: str) -> Order:
    return next(order for order in get_args(Order) if order == words)


def _row(direction: Direction) -> dict[str, Any]:
    row = {name: list(value) if isinstance(value, tuple) else float(value) for name, value in asdict(direction).items()}
    derived = {"angle_deg": round(direction.angle_deg, 4), "period_um": round(direction.period_um, 6)}
    if direction.orders == 1:
        return derived | {name: value for name, value in row.items() if name not in ("depth2", "phase2_rad")}
    return derived | {"finest_um": round(direction.finest_um, 6)} | row


def _direction(row: Mapping[str, Any]) -> Direction:
    pair, phases, gains = (tuple(float(v) for v in row[name]) for name in ("p_per_um", "phases_rad", "gains"))
    if len(pair) != 2:
        raise ConfigError(f"SIM wave vector {pair}: two numbers (y, x) are needed; estimate them again")
    score, depth2, phase2_rad = (float(row.get(name, 0.0)) for name in ("score", "depth2", "phase2_rad"))
    return Direction((pair[0], pair[1]), float(row["depth"]), float(row["phase_rad"]), phases, gains, score, depth2, phase2_rad)
