"""A camera pixel by pixel: maps of offset, gain and read variance, and what they make of its frames.

Pixel `i` of a sensor records `y_i = o_i + g_i n_i + N(0, v_i)` with `n_i` photo-electrons. `equalised` frames are
`(y_i - o_i) g / g_i + o` with the offset `o` and the gain `g` of the sensor: they are frames of a camera that has these two numbers alone,
and the read variance `v_i (g / g_i)^2` of Eq. 3 is the one thing that still differs between its pixels. So nothing after the equalisation
needs to know of offsets and gains.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.camera.defects import Defects, beyond_law, find_defects
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.map_frames import measure_pixels
from zsdeconv.camera.outliers import CHANCE
from zsdeconv.camera.shrinkage import few, robust_variance
from zsdeconv.camera.survey import clip_values
from zsdeconv.errors import ConfigError, ImageError, OutputError
from zsdeconv.findings import rounded
from zsdeconv.image import crop_ranges

if TYPE_CHECKING:
    from zsdeconv.camera.calibrate import Calibration

MAX_READ_NOISE_RATIO = 3.0
"""Read noise, in units of the median pixel's, above which a pixel is left out. Law: against a neighbour it would weigh less than 1/9."""
MAX_BAD_FRACTION = 0.1
"""Fraction of pixels without a number in a map. Chosen: their neighbours, of which they are filled, then still hold data."""
GAIN_RATIOS = (0.5, 2.0)
"""Gain, in units of the median pixel's, beyond which a pixel is dead or faulty. Chosen: working pixels differ by a few per cent."""
CONTRADICTION_SIGMAS = 5.0
"""Standard errors by which an image may differ from the maps. Chosen: by chance once in a million images."""
MAX_GAIN_DIFFERENCE = 0.25
"""Relative difference of the gains that is no contradiction. Measured: structure changes the gain of an image by up to 20 %."""
VARIANCE_LEVELS = 4096
"""Quantiles that stand for the read variances of a sensor. Chosen: finer than they are known."""
STATED_TOLERANCE = 0.02
"""Relative difference up to which a number in the file is that of its map. Chosen: numbers in the file are rounded."""
SIGMAS = ("offset_sigma", "gain_sigma", "read_noise_sigma")
"""Standard errors of a calibration by their names."""
ENDINGS = (".yaml", ".yml")
_MAPS = {"offset_adu": "offset", "gain_adu_per_e": "gain", "read_variance_adu2": "read_variance"}
_KEYS = {"detector", "offset_adu", "offset_sigma", "gain_adu_per_e", "gain_sigma", "read_noise_adu", "read_noise_sigma"}
_KEYS |= {"size_px", "frames", "bad_pixels", "maps"}


@dataclass(frozen=True, eq=False)
class CameraMaps:
    """Maps of a camera, each `y x`: `offset` (ADU), `gain` (ADU per photo-electron), `read_variance` (ADU^2), and the `bad` pixels.

    `sigmas` are the standard errors of the sensor's offset, gain and read noise; `frames` are the numbers of dark and flat frames.

    Raises `ImageError` for maps of different sizes, or with numbers that no camera has in more than a few pixels.

    >>> rng = np.random.default_rng(0)
    >>> offset = rng.normal(100, 3, (40, 50))
    >>> dark = rng.normal(offset, 2, (30, 40, 50))
    >>> flat = rng.poisson(80, dark.shape) * 1.5 + rng.normal(offset, 2, dark.shape)
    >>> maps = CameraMaps.measure(dark, flat)
    >>> round(maps.law.offset), round(maps.law.gain, 1), bool((maps.equalised(flat[0]) - flat[0]).std() > 2)
    (100, 1.5, True)
    """

    offset: np.ndarray
    gain: np.ndarray
    read_variance: np.ndarray
    bad: np.ndarray
    sigmas: tuple[float, float, float] = (0.0, 0.0, 0.0)
    frames: tuple[int, int] = (0, 0)
    target: tuple[float, float] | None = None
    """Offset and gain that equalised frames are to have, by default those of the sensor: the median offset and the mean gain."""

    @classmethod
    def measure(cls, dark: np.ndarray, flat: np.ndarray) -> CameraMaps:
        """From dark frames, and flat frames of even light at one level or several (t y x, ADU): `zsdeconv.camera.map_frames`."""
        measured = measure_pixels(dark, flat)
        arrays = (measured.offset, measured.gain, measured.read_variance)
        return cls.of(*arrays, hot=measured.hot, sigmas=measured.sigmas, frames=measured.frames)

    @classmethod
    def of(
        cls,
        offset: np.ndarray,
        gain: np.ndarray,
        read_variance: np.ndarray,
        *,
        hot: np.ndarray | None = None,
        sigmas: tuple[float, float, float] = (0.0, 0.0, 0.0),
        frames: tuple[int, int] = (0, 0),
    ) -> CameraMaps:
        """From maps of any origin, in which pixels far outside, and those known to be `hot`, become bad ones."""
        arrays = [np.asarray(each, np.float64) for each in (offset, gain, read_variance)]
        _check(*arrays)
        bad = _outside(*arrays) | (False if hot is None else hot)
        offset, gain, read_variance = (np.where(bad, np.median(each[~bad]), each).astype(np.float32) for each in arrays)
        return cls(offset, gain, read_variance, bad, sigmas, frames)

    @cached_property
    def law(self) -> Camera:
        """The law of equalised frames, with the mean read variance."""
        good = ~self.bad
        own = float(np.median(self.offset[good])), float(self.gain[good].mean(dtype=np.float64))
        offset, gain = self.target or own
        variance = self.read_variance[good] * (gain / self.gain[good].astype(np.float64)) ** 2
        return Camera(offset, gain, float(variance.mean()))

    @cached_property
    def equal_read_variance(self) -> np.ndarray:
        """Read variance of equalised frames, ADU^2 (y x); that of `law` in bad pixels, which are filled by it."""
        variance = self.read_variance * (self.law.gain / self.gain) ** 2
        return np.where(self.bad, self.law.read_variance, variance).astype(np.float32)

    @cached_property
    def read_variance_levels(self) -> np.ndarray:
        """Quantiles of the read variances of equalised frames, from which pixels like those of the sensor are drawn."""
        return np.quantile(self.equal_read_variance, (np.arange(VARIANCE_LEVELS) + 0.5) / VARIANCE_LEVELS).astype(np.float32)

    def equalised(self, frame: np.ndarray) -> np.ndarray:
        """A frame `... y x` (ADU) with the offset and the gain of `law` in all pixels, float32; bad pixels are as recorded.

        Clipped pixels get one value again, that of no other pixel, by which they are still known. Raises `ImageError` for frames of
        another size than the maps.
        """
        self.refuse_other_size(frame.shape)
        offset, gain = self.law.offset, self.law.gain
        own = np.where(self.bad, offset, self.offset).astype(np.float32)
        factor = np.where(self.bad, 1, gain / self.gain).astype(np.float32)
        result = (frame.astype(np.float32) - own) * factor + np.float32(offset)
        low, high = clip_values(frame.reshape(-1, *frame.shape[-2:]))
        for clipped, value, end in ((frame <= low, low, np.min), (frame >= high, high, np.max)):
            if np.isfinite(value):
                result[clipped] = end((np.float32(value) - own) * factor) + np.float32(offset)
        return result

    def cropped(self, text: str | None) -> CameraMaps:
        """The maps of the part of the sensor that a crop of its frames describes, of which only Y and X matter here."""
        if text is None:
            return self
        ranges = crop_ranges(text)
        y, x = (slice(*ranges.get(axis, (0, None))) for axis in "YX")
        parts = {name: getattr(self, name)[y, x] for name in ("offset", "gain", "read_variance", "bad")}
        return replace(self, **parts)

    def refuse_other_size(self, shape: tuple[int, ...]) -> None:
        """Raise `ImageError` unless frames of a `shape` `... y x` have the size of the maps."""
        if shape[-2:] != self.offset.shape:
            frame, maps = (" x ".join(map(str, size)) for size in (shape[-2:], self.offset.shape))
            raise ImageError(
                f"frames of {frame} pixels, the camera maps have {maps}: they must be of the same part of the sensor, with the same "
                "binning; give maps of dark and flat frames recorded like the image as camera"
            )

    def calibrated(self, image: Calibration) -> Calibration:
        """The calibration of equalised frames by themselves, with the law of the maps and what the frames say against it."""
        of_data = tuple(message for message in image.messages if message not in image.fit_messages)
        sigmas = dict(zip(SIGMAS, self.sigmas, strict=True))
        messages = (*self._contradictions(image), *of_data)
        return replace(image, camera=self.law, **sigmas, messages=messages, fit_messages=(), detector_source="camera maps")

    def _contradictions(self, image: Calibration) -> list[str]:
        from zsdeconv.camera.compare import KnownCamera, law_test

        law, found, advice = self.law, image.camera, "another camera, another setting of it, or processed frames; check camera"
        offset_sigma = np.hypot(image.offset_sigma, self.sigmas[0])
        gain_sigma = np.hypot(image.gain_sigma, self.sigmas[1])
        rows = (
            ("offset", law.offset, found.offset, offset_sigma, law.read_noise, "ADU"),
            ("gain", law.gain, found.gain, gain_sigma, MAX_GAIN_DIFFERENCE * law.gain, "ADU per electron"),
        )
        told = [
            f"the maps have the {name} {own:.4g} {unit}, the image {seen:.4g} +- {rounded(sigma)}: {advice}"
            for name, own, seen, sigma, least, unit in rows
            if abs(seen - own) > max(CONTRADICTION_SIGMAS * sigma, least)
        ]
        known = KnownCamera(law, self.sigmas[0], self.sigmas[1])
        test = law_test(known, image.signal, image.variance, image.variance_sigma, 1e-3 * law.read_variance)
        if not told and test.sigmas > CONTRADICTION_SIGMAS:
            told = [f"the image does not follow the maps: {test.words} of theirs: {advice}"]
        return told

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Write `path` (.yaml) with the numbers of the sensor, and the maps beside it as TIFF files; all paths written, the YAML last.

        Raises `ConfigError` for another ending and `OutputError` for files that exist or cannot be written.
        """
        import tifffile
        import yaml

        from zsdeconv.io.atomic import atomic_path

        path = Path(path)
        if path.suffix.lower() not in ENDINGS:
            raise ConfigError(f"camera file {path}: {path.suffix or 'no ending'}, it must be {' or '.join(ENDINGS)}; rename it")
        names = map_files(path)
        existing = [each for each in (*names.values(), path) if each.exists()]
        if existing and not overwrite:
            raise OutputError(f"{existing[0]}: exists, and existing results are kept; give `overwrite`, or another output")
        for key, target in names.items():
            values = np.where(self.bad, np.nan, getattr(self, _MAPS[key])).astype(np.float32)
            with atomic_path(target, overwrite) as temporary:
                tifffile.imwrite(temporary, values, photometric="minisblack", metadata={"axes": "YX"})
        content = {**self.to_dict(), "maps": {key: target.name for key, target in names.items()}}
        with atomic_path(path, overwrite) as temporary:
            temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return [*names.values(), path]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CameraMaps:
        """The maps of a YAML file: `maps` with the names of three TIFF files beside it, and whatever numbers `save` writes.

        Pixels that are not finite in a map are bad ones. Raises `ConfigError` or `ImageError` for files that hold no maps of a camera.
        """
        path = Path(path)
        content = _read_yaml(path)
        offset, gain, read_noise = (_number(path, content, key) for key in SIGMAS)
        arrays = [_read_map(path, content["maps"], key) for key in _MAPS]
        maps = cls.of(*arrays, sigmas=(offset, gain, read_noise), frames=_frames_of(path, content))
        for key, own in (("offset_adu", maps.law.offset), ("gain_adu_per_e", maps.law.gain)):
            stated = _number(path, content, key, own)
            if abs(stated - own) > STATED_TOLERANCE * abs(own) + 1e-9:
                raise ConfigError(f"camera {path.name}: {key} {stated:g}, its map has {own:.5g}; files of two cameras; check camera")
        return maps

    def to_dict(self) -> dict[str, Any]:
        """Numbers of the sensor, ready for JSON and YAML."""
        law = self.law
        numbers = {"offset_adu": law.offset, "offset_sigma": self.sigmas[0], "gain_adu_per_e": law.gain, "gain_sigma": self.sigmas[1]}
        numbers |= {"read_noise_adu": law.read_noise, "read_noise_sigma": self.sigmas[2]}
        rounded = {key: float(f"{value:.6g}") for key, value in numbers.items()}
        size, (dark, flat) = [int(n) for n in self.offset.shape], self.frames
        return {"detector": law.kind, **rounded, "size_px": size, "frames": {"dark": dark, "flat": flat}, "bad_pixels": int(self.bad.sum())}


def map_files(path: Path) -> dict[str, Path]:
    """The images that `CameraMaps.save` writes beside `path`, by their key in it.

    >>> [file.name for file in map_files(Path("camera.yaml")).values()]
    ['camera_offset.tif', 'camera_gain.tif', 'camera_read_variance.tif']
    """
    return {key: path.with_name(f"{path.stem}_{name}.tif") for key, name in _MAPS.items()}


def files_of(path: Path) -> list[Path]:
    """A file of camera maps and the images that it names. Raises `ConfigError` as `CameraMaps.load` does."""
    return [path, *(path.parent / str(name) for name in _read_yaml(path)["maps"].values())]


def examined(frames: Sequence[np.ndarray], maps: CameraMaps | None, law: Camera | None = None) -> tuple[list[np.ndarray], list[Defects]]:
    """Frames `... y x` (ADU), equalised where there are maps, and their pixels without data: the bad ones of the maps among them, or else,
    where it is known, those beyond the law.
    """
    if maps is None:
        found = [find_defects(frame) for frame in frames]
        return list(frames), found if law is None else [beyond_law(*each, law) for each in zip(frames, found, strict=True)]
    equal = [maps.equalised(frame) for frame in frames]
    return equal, [find_defects(frame, recorded, maps.bad) for frame, recorded in zip(equal, frames, strict=True)]


def _check(offset: np.ndarray, gain: np.ndarray, read_variance: np.ndarray) -> None:
    """Raise `ImageError` for maps that are none."""
    sizes = [each.shape for each in (offset, gain, read_variance)]
    if len(set(sizes)) > 1 or offset.ndim != 2:
        raise ImageError(f"camera maps of {', '.join(map(str, sizes))} pixels: three images y x of one size are needed; check camera")
    with np.errstate(invalid="ignore"):
        faults = {
            "offsets that are not finite": ~np.isfinite(offset),
            "gains that are zero, negative or not finite": ~(np.isfinite(gain) & (gain > 0)),
            "read variances that are negative or not finite": ~(np.isfinite(read_variance) & (read_variance >= 0)),
        }
    for name, wrong in faults.items():
        if wrong.mean() > MAX_BAD_FRACTION:
            share, limit = 100 * wrong.mean(), 100 * MAX_BAD_FRACTION
            raise ImageError(f"camera maps: {share:.3g} % of the pixels have {name} (limit {limit:g} %); measure the camera again")


def _outside(offset: np.ndarray, gain: np.ndarray, read_variance: np.ndarray) -> np.ndarray:
    """Hot, dead and noisy pixels of maps, and those without numbers."""
    from scipy.special import ndtri

    with np.errstate(invalid="ignore"):
        known = np.isfinite(offset) & np.isfinite(gain) & np.isfinite(read_variance) & (gain > 0) & (read_variance >= 0)
    o, g, v = (float(np.median(each[known])) for each in (offset, gain, read_variance))
    reach = -float(ndtri(0.5 * CHANCE / offset.size)) * robust_variance(offset[known]) ** 0.5 + 1e-3 * v**0.5 + 1e-6 * abs(o)
    with np.errstate(invalid="ignore"):
        hot = few(abs(offset - o) > reach)
        noisy = few(read_variance > MAX_READ_NOISE_RATIO**2 * v)
        dead = (gain < GAIN_RATIOS[0] * g) | (gain > GAIN_RATIOS[1] * g)
    return ~known | hot | noisy & (v > 0) | dead


def _read_yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"camera {path}: {error.strerror}; check camera") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(f"camera {path} is not YAML; give the .yaml that `zsdeconv calibrate` writes as camera") from None
    if not isinstance(content, dict) or not isinstance(content.get("maps"), dict):
        raise ConfigError(f"camera {path} names no maps; give the .yaml that `zsdeconv calibrate` writes from dark and flat as camera")
    unknown = [key for key in content if key not in _KEYS] + [key for key in content["maps"] if key not in _MAPS]
    if unknown:
        raise ConfigError(f"camera {path.name}: unknown key {str(unknown[0])!r}; known ones are {', '.join(sorted(_KEYS))}; correct it")
    kind = content.get("detector", Camera.kind)
    if kind != Camera.kind:
        raise ConfigError(f"camera {path.name}: maps of a detector {kind!r}; maps are those of a camera: leave out camera")
    return content


def _read_map(path: Path, names: Mapping[str, Any], key: str) -> np.ndarray:
    from zsdeconv.io import read

    if not isinstance(names.get(key), str):
        raise ConfigError(f"camera {path.name}: the map {key} is missing, {', '.join(_MAPS)} are needed; correct it")
    target = path.parent / names[key]
    if not target.exists():
        raise ConfigError(f"camera {path.name}: its map {target} does not exist; keep the maps beside the file, or correct it")
    return read(target, axes="YX").data


def _frames_of(path: Path, content: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of dark and flat frames, 0 where they are not stated."""
    stated = content.get("frames", {})
    dark, flat = (_number(path, stated if isinstance(stated, dict) else {}, name) for name in ("dark", "flat"))
    return int(dark), int(flat)


def _number(path: Path, content: Mapping[str, Any], key: str, otherwise: float = 0.0) -> float:
    value = content.get(key, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ConfigError(f"camera {path.name}: {key} {value!r}, it must be a number; correct it")
    return float(value)
