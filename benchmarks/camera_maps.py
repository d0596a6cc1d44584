"""Errors of camera maps against the number of frames, on simulated sensors whose pixels are known.

    python benchmarks/camera_maps.py

Prints a markdown table for each of three sensors: pixels as different as those of an sCMOS camera, of a good one, and all alike.
"""

import numpy as np

from run_cases import table
from zsdeconv.camera.maps import CameraMaps

COLUMNS = ("frames", "offset, ADU", "alone", "gain, %", "alone", "log read variance", "alone", "hot pixels missed", "others left out")
SHAPE = (150, 171)
GAIN = 1.3
HOT = 1e-3
SENSORS = {"sCMOS": (2.0, 0.04, 0.35), "good": (0.5, 0.01, 0.2), "alike": (0.0, 0.0, 0.0)}
"""Standard deviations of offset (ADU), relative gain, and the logarithm of the read noise."""
FRAMES = ((2, 200), (5, 200), (20, 200), (50, 500), (200, 500))
"""Frames of each kind, and photo-electrons in the flat ones."""


def recorded(sensor: tuple[np.ndarray, ...], light: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Frames (t y x, uint16) of pixels with an offset, a gain and a read noise each."""
    offset, gain, read = sensor
    shape = (frames, *SHAPE)
    return (gain * rng.poisson(light, shape) + rng.normal(offset, read, shape)).round().clip(0, 65535).astype(np.uint16)


def row(spreads: tuple[float, float, float], frames: int, electrons: float) -> list[str]:
    rng = np.random.default_rng(1)
    offset, gain = rng.normal(100, spreads[0], SHAPE), GAIN * rng.normal(1, spreads[1], SHAPE)
    read = 2.0 * rng.lognormal(0, spreads[2], SHAPE)
    hot = rng.random(SHAPE) < HOT
    read[hot] *= rng.uniform(5, 20, hot.sum())
    offset[hot] += rng.uniform(20, 300, hot.sum())
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    lamp = electrons * (1 - 0.1 * (y**2 + (x + 0.3) ** 2))
    dark, flat = (recorded((offset, gain, read), light, frames, rng) for light in (0 * lamp, lamp))
    maps = CameraMaps.measure(dark, flat)
    good = ~(hot | maps.bad)

    def scatter(values: np.ndarray) -> float:
        return float(values[good].std())

    alone = (flat.mean(0) - dark.mean(0)) / lamp / GAIN
    logs = [np.log(each / (read**2 + 1 / 12)) for each in (maps.read_variance, np.maximum(dark.var(0, ddof=1), 1 / 12))]
    cells = [scatter(maps.offset - offset), scatter(dark.mean(0) - offset)]
    cells += [100 * scatter(each - gain / GAIN) for each in (maps.gain / GAIN, alone)]
    cells += [scatter(each) for each in logs]
    return [str(frames), *(f"{cell:.2f}" for cell in cells), f"{(hot & ~maps.bad).sum()} of {hot.sum()}", str((maps.bad & ~hot).sum())]


def main() -> None:
    for name, spreads in SENSORS.items():
        print(f"\n{name}: offsets {spreads[0]:g} ADU, gains {100 * spreads[1]:g} %, log read noise {spreads[2]:g}\n")
        print(table(COLUMNS, [row(spreads, *each) for each in FRAMES]), end="")


if __name__ == "__main__":
    main()
