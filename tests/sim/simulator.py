"""Raw frames of structured illumination with known truth: written from the model, without the package's operators."""

from dataclasses import dataclass

import numpy as np

from zsdeconv.physics.optics import Optics
from zsdeconv.sim.patterns import Direction, Layout, SimParameters, nominal_phases_rad

OPTICS = Optics(1.3, 525, 1.515)
PIXEL_UM = 0.0626
KC = 2 * 1.3 / 0.525


def lens(k_per_um: np.ndarray) -> np.ndarray:
    """The OTF of a uniform circular pupil (Goodman)."""
    r = np.clip(k_per_um / KC, 0, 1)
    return 2 / np.pi * (np.arccos(r) - r * np.sqrt(1 - r**2))


def stripes(
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
        field = np.fft.ifft2(np.fft.fft2(rng.normal(size=yx_shape)) * np.exp(-((k * 60) ** 2) / 2)).real
        slope = np.hypot(np.gradient(field, axis=0), np.gradient(field, axis=1)) + 0.05 * np.abs(field).max()
        image += np.exp(-((field / slope / 0.9) ** 2) / 2)
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
