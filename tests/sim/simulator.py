"""Raw frames of structured illumination with known truth: written from the model, without the package's operators."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.acquisition.structured import StructuredAcquisition
from zsdeconv.physics.optics import Optics
from zsdeconv.sim.patterns import Direction, Layout, SimParameters, nominal_phases_rad
from zsdeconv.sim.reconstruct import Reconstruct

OPTICS = Optics(1.3, 525, 1.515)
PIXEL_UM = 0.0626
KC = 2 * 1.3 / 0.525


def lens(k_per_um: np.ndarray) -> np.ndarray:
    """The OTF of a uniform circular pupil (Goodman)."""
    r = np.clip(k_per_um / KC, 0, 1)
    return 2 / np.pi * (np.arccos(r) - r * np.sqrt(1 - r**2))


def two_beams(
    p: float = 0.85 * KC,
    angles_rad: tuple[float, ...] = (0.31, 1.29, 2.47),
    depths: tuple[float, ...] = (0.8, 0.65, 0.9),
    phases: int = 3,
    order: str = "direction-phase",
    pixel_um: float = PIXEL_UM,
) -> SimParameters:
    """Patterns of asymmetric angles, unlike depths and phases that are nowhere 0."""
    directions = tuple(
        Direction((p * np.sin(a), p * np.cos(a)), depth, 0.7 - 1.9 * n, nominal_phases_rad(phases), (1.0,) * phases)
        for n, (a, depth) in enumerate(zip(angles_rad, depths, strict=True))
    )
    return SimParameters(directions, pixel_um, Layout(len(angles_rad), phases, order).order)  # pyright: ignore[reportArgumentType]


def curves(yx_shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Thin curved lines on black: the zeros of smooth random fields."""
    k = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in yx_shape), indexing="ij"))
    image = np.zeros(yx_shape)
    for _ in range(3):
        measurement = np.fft.ifft2(np.fft.fft2(rng.normal(size=yx_shape)) * np.exp(-((k * 60) ** 2) / 2)).real
        slope = np.hypot(np.gradient(measurement, axis=0), np.gradient(measurement, axis=1)) + 0.05 * np.abs(measurement).max()
        image += np.exp(-((measurement / slope / 0.9) ** 2) / 2)
    return image


@dataclass(frozen=True)
class Recording:
    """`frames` (file order, y x) and the same without noise, `truth` on the twice finer grid, all above the offset."""

    frames: np.ndarray
    clean: np.ndarray
    truth: np.ndarray


def record(
    parameters: SimParameters,
    photons: float,
    rng: np.random.Generator,
    yx_shape: tuple[int, int] = (190, 223),
    read: float = 2.0,
    brightness: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> Recording:
    """Frames of a field that goes on beyond its borders: a larger periodic one is imaged, and cut."""
    beyond = 24
    y, x = (parameters.pixel_um / 2 * (np.arange(2 * (n + 2 * beyond)) - 2 * beyond) for n in yx_shape)
    scene = curves((len(y), len(x)), rng) if truth is None else truth
    k = np.hypot(np.fft.fftfreq(len(y), parameters.pixel_um / 2)[:, None], np.fft.fftfreq(len(x), parameters.pixel_um / 2))
    frames = np.zeros((parameters.layout.frames, *yx_shape))
    inner = np.s_[2 * beyond : -2 * beyond, 2 * beyond : -2 * beyond]
    for d, direction in enumerate(parameters.directions):
        for i, step in enumerate(direction.phases_rad):
            place = direction.p_per_um[0] * y[:, None] + direction.p_per_um[1] * x
            light = 1 + direction.depth * np.cos(2 * np.pi * place + direction.phase_rad + step)
            image = np.fft.ifft2(np.fft.fft2(scene * light) * lens(k)).real
            frames[parameters.layout.numbers[d, i]] = image[inner][::2, ::2]
    scale = photons / np.percentile(frames, 99.8)
    clean = scale * frames.clip(0) * (1 if brightness is None else brightness[:, None, None])
    return Recording(rng.poisson(clean) + rng.normal(0, read, clean.shape), clean, scale * scene[inner])


DEEP_OPTICS = Optics(1.3, 525, 1.406)
DEEP_PIXEL_UM, DEEP_Z_UM, EXCITATION_UM = 0.07, 0.15, 0.488


def three_beams(
    finest_um: float = 0.225,
    angles_rad: tuple[float, ...] = (0.31, 1.29, 2.47),
    contrasts: tuple[float, ...] = (0.9, 0.7, 0.8),
    order: str = "direction-phase",
) -> SimParameters:
    """Patterns of three equal beams, of asymmetric angles, unlike contrasts and phases that are nowhere 0."""
    p = 0.5 / finest_um
    directions = tuple(
        Direction(
            (p * np.sin(a), p * np.cos(a)), 4 / 3 * m, 0.7 - 1.9 * n, nominal_phases_rad(5), (1.0,) * 5, 0, 2 / 3 * m, 2 * (0.7 - 1.9 * n)
        )
        for n, (a, m) in enumerate(zip(angles_rad, contrasts, strict=True))
    )
    return SimParameters(directions, DEEP_PIXEL_UM, order, z_um=DEEP_Z_UM)  # pyright: ignore[reportArgumentType]


def beat_per_um(finest_um: float) -> float:
    """Beat of order 1 along the axis, from the three wave vectors of the beams."""
    n = DEEP_OPTICS.ri / EXCITATION_UM
    return n - np.sqrt(n**2 - (0.5 / finest_um) ** 2)


def focal_stack(planes: int, side: int, pixel_um: float) -> np.ndarray:
    """Intensity (z y x, the focus first) of a point through a uniform pupil, by plane waves on a periodic grid; sum 1."""
    k = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side, pixel_um)] * 2, indexing="ij"))
    na, um, index = DEEP_OPTICS.na, 1e-3 * DEEP_OPTICS.wavelength_nm, DEEP_OPTICS.ri
    along = np.sqrt(np.maximum((index / um) ** 2 - k**2, 0))
    z = DEEP_Z_UM * planes * np.fft.fftfreq(planes)
    stack = np.abs(np.fft.ifft2((k < na / um) * np.exp(2j * np.pi * z[:, None, None] * along))) ** 2
    return stack / stack.sum()


def tangle(shape: tuple[int, int, int], rng: np.random.Generator, lines: int = 60) -> np.ndarray:
    """Straight fluorescent lines of any direction through a periodic volume (z y x)."""
    volume, um = np.zeros(shape), np.array([DEEP_Z_UM, DEEP_PIXEL_UM / 2, DEEP_PIXEL_UM / 2])
    for _ in range(lines):
        start, way = rng.uniform(0, 1, 3) * shape * um, rng.normal(size=3) * (0.4, 1, 1)
        place = start + np.arange(0, 4, 0.02)[:, None] * way / np.hypot.reduce(way)
        np.add.at(volume, tuple((np.rint(place / um).astype(int) % shape).T), 1.0)
    return volume


def record_stack(
    parameters: SimParameters, photons: float, rng: np.random.Generator, zyx_shape: tuple[int, int, int] = (11, 96, 90), read: float = 2.0
) -> Recording:
    """Frames (frame z y x) of a volume that goes on beyond the stack on all sides: a larger periodic one is imaged, and cut."""
    nz, ny, nx = zyx_shape
    above, side = 9, 2 * max(ny, nx) + 40
    scene = tangle((nz + 2 * above, side, side), rng)
    psf = focal_stack(len(scene), side, DEEP_PIXEL_UM / 2)
    z = DEEP_Z_UM * len(scene) * np.fft.fftfreq(len(scene))
    beat = np.cos(2 * np.pi * beat_per_um(parameters.directions[0].finest_um) * z)
    even, beating = (np.fft.fftn(kernel).astype(np.complex64) for kernel in (psf, psf * beat[:, None, None]))
    lenses = [even, beating, even]
    place = DEEP_PIXEL_UM / 2 * (np.arange(side) - 20)
    inner = np.s_[above : above + nz, 20 : 20 + 2 * ny, 20 : 20 + 2 * nx]
    frames = np.empty((parameters.layout.frames, *zyx_shape))
    for numbers, direction in zip(parameters.layout.numbers, parameters.directions, strict=True):
        turn = 2 * np.pi * np.add.outer(direction.p_per_um[0] * place, direction.p_per_um[1] * place)
        waves = [(scene * np.exp(1j * m * turn)).astype(np.complex64) for m in range(3)]
        bands = [np.fft.ifftn(np.fft.fftn(wave) * lens)[inner][:, ::2, ::2] for wave, lens in zip(waves, lenses, strict=True)]
        for number, step in zip(numbers, direction.phases_rad, strict=True):
            sides = [2 * c * np.exp(1j * m * step) * bands[m] for m, c in enumerate(direction.strengths, 1)]
            frames[number] = bands[0].real + sum(side.real for side in sides)
    scale = photons / np.percentile(frames, 99.8)
    clean = scale * frames.clip(0)
    return Recording(rng.poisson(clean) + rng.normal(0, read, clean.shape), clean, scale * scene[inner])


def small_settings(modality: str, offset: float, training: dict[str, Any]) -> dict[str, Any]:
    """Settings that train a small network within seconds, the offset known."""
    return {
        "modality": modality,
        "network": {"channels": (4, 8)},
        "training": {"validate_every": 15, "learning_rate": 4e-3, **training},
        "prediction": {"passes": 2},
        "report": False,
        "input": {"background": offset},
        "device": "cpu",
    }


def reconstruct_of(owner: Any) -> Reconstruct:
    """The reconstruction of a model or of prepared data under structured illumination."""
    assert isinstance(owner.acquisition, StructuredAcquisition)
    return owner.acquisition.reconstruct
