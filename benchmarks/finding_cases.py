"""Small simulated recordings, right and wrong in one way each, for `findings.py`. Noise is drawn with numpy, apart from the program.

A condition either changes the recording or what is told of it (nothing is trained: only the checks that judge data are run), or it
damages a network that was trained rightly (`Damaged`), so that one training serves all conditions of a seed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from scipy.ndimage import gaussian_filter, zoom
from torch import Tensor, nn

import zsdeconv as zs
from cases import OPTICS, facts
from cases import recorded as bench_image
from psf_trials import comatic
from zsdeconv.config import Config, resolve
from zsdeconv.model import Model
from zsdeconv.nn.contract import RestorationNetwork, as_network
from zsdeconv.physics.deconvolve import richardson_lucy
from zsdeconv.physics.grid import mirror, upsample
from zsdeconv.physics.operators import Operator
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.prediction.photometry import IntensityCorrection
from zsdeconv.prepare import prepare
from zsdeconv.simulation.structured import SimScene, simulate_sim2d
from zsdeconv.simulation.structures import STRUCTURES
from zsdeconv.simulation.widefield import Scene, simulate_2d, simulate_scene
from zsdeconv.training.networks import make_network

SIDE_PX, QUARTER_PX, LARGE_PX, FIELD_PX = 112, 128, 176, 256
"""Sides of simulated fields, of parts of benchmark planes, of the fields in which texture is looked for (24 patches of 32 pixels), and of
those in which the data alone are judged, without a network: a small camera image."""
WELL_LIT_PHOTONS = 100
"""Of a bright pixel, where a condition needs light to be told at all."""
FIELDS = 4
"""Fields of one structure that one network is trained on. Chosen: training takes most of the time, and a session has several fields."""
PHOTONS = (60, 20, 30, 150, 10)
"""Of a bright pixel, in turn from session to session."""
KINDS = ("camera", "camera", "emccd", "camera", "counting")
"""Detectors, in turn likewise."""
OFFSETS_ADU = {"camera": 100.0, "emccd": 490.0, "counting": 0.0}
TENTH_STEPS = 180
"""A tenth of the steps of the default training."""


@dataclass(frozen=True)
class Recorded:
    """An image of the program, in counts of a detector of some `kind`, the mean `electrons` of its pixels, and what is told of it
    (`optics`, `options`). A `scene` is there where the image was simulated here.
    """

    scene: Scene | None
    kind: str
    image: zs.Image
    electrons: np.ndarray
    optics: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_counts(self, counts: np.ndarray, **options: Any) -> "Recorded":
        """The same field in other counts, of which other things are told."""
        return replace(self, image=replace(self.image, data=counts), options={**self.options, **options})


def counts_of(kind: str, electrons: np.ndarray, seed: int) -> np.ndarray:
    """A recording, uint16. Cameras have 0.4 to 2.5 ADU per electron and 1 to 4 electrons of read noise, one and the same in a session."""
    camera, rng = np.random.default_rng([seed // FIELDS, 1]), np.random.default_rng([seed, 2])
    photons = rng.poisson(electrons)
    if kind == "counting":
        return photons.astype(np.uint16)
    gain = camera.uniform(0.4, 2.5) if kind == "camera" else camera.uniform(15, 80)
    read = gain * camera.uniform(1.0, 4.0) if kind == "camera" else camera.uniform(4, 12)
    light = gain * photons if kind == "camera" else gain * rng.gamma(np.maximum(photons, 1e-9)) * (photons > 0)
    return np.rint(light + rng.normal(OFFSETS_ADU[kind], read, photons.shape)).clip(0, 65535).astype(np.uint16)


def scene_of(seed: int, side: int = SIDE_PX, photons: float = 0.0) -> Scene:
    """The scene of a seed: structure and light level change from session to session."""
    session, structures = seed // FIELDS, list(STRUCTURES)
    light = photons or PHOTONS[session % len(PHOTONS)]
    return Scene(size=side, photons=light, structure=structures[session % len(structures)], seed=seed)


def right(seed: int, *, side: int = SIDE_PX, kind: str = "", photons: float = 0.0, psf: Psf | None = None) -> Recorded:
    """The case of a seed: structure, light level and detector change from session to session; through another `psf` than told, if given."""
    session = seed // FIELDS
    kind, scene = kind or KINDS[session % len(KINDS)], scene_of(seed, side, photons)
    simulation = simulate_2d(scene) if psf is None else simulate_scene(scene, psf)
    electrons = np.maximum(simulation.clean.data / scene.camera.gain, 0)
    image = zs.Image(counts_of(kind, electrons, seed), "YX", dict.fromkeys("YX", scene.pixel_um))
    return Recorded(scene, kind, image, electrons, {"na": scene.na, "wavelength_nm": scene.wavelength_nm})


def part_of(case: Path, quarter: int, side: int) -> Recorded:
    """A part of a benchmark plane: one of its quarters, or its middle where that is larger."""
    known, image = facts(case), bench_image(case)
    ny, nx = image.data.shape
    y, x = ((quarter // 2) * (ny - side), (quarter % 2) * (nx - side)) if side <= QUARTER_PX else ((ny - side) // 2, (nx - side) // 2)
    part = (slice(y, y + side), slice(x, x + side))
    electrons = np.maximum(tifffile.imread(case / "clean.tif").astype(float)[part] / known["gain_adu_per_e"], 0)
    kind = next((name for name in ("emccd", "counting") if name in case.name), "camera")
    optics = {ours: known[theirs] for theirs, ours in OPTICS.items() if theirs in known}
    return Recorded(None, kind, replace(image, data=image.data[part]), electrons, optics)


def dimmed(case: Recorded, seed: int) -> Recorded:
    """The same field with a photon in a bright pixel."""
    electrons = case.electrons / np.percentile(case.electrons, 99.8)
    return replace(case, image=replace(case.image, data=counts_of(case.kind, electrons, seed)), electrons=electrons)


def session_of(seed: int) -> list[int]:
    """The seeds of all fields of the session of a seed."""
    first = seed // FIELDS * FIELDS
    return list(range(first, first + FIELDS))


def configuration(case: Recorded, modality: str = "2d", **training: Any) -> Config:
    """What is told of a case; all else is the default."""
    told = dict(case.options)
    optics = {**case.optics, **told.pop("optics", {})}
    return resolve({"optics": optics, "input": told, "training": training, "modality": modality})


def untrained(case: Recorded, psf: Psf | None = None, modality: str = "2d") -> Model:
    """The model of a case before any training, for checks that judge data alone."""
    prepared = prepare([case.image], configuration(case, modality), psf=psf)
    acquisition = prepared.acquisition
    network = make_network(prepared.config, prepared.modality.rank, acquisition.forward_operator, acquisition.scale).eval()
    sigma = prepared.calibration.offset_sigma
    return Model(network, prepared.modality, prepared.config, acquisition, prepared.spacing_um, IntensityCorrection(), sigma)


Damage = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""What becomes of the denoised and the deconvolved image of an input (all `b 1 y x`)."""


class Damaged(nn.Module):
    """A trained network whose images are changed in one way."""

    def __init__(self, network: RestorationNetwork, damage: Damage) -> None:
        super().__init__()
        self.own, self.damage = network, damage
        self.halo_px, self.stride_px, self.symmetries = network.halo_px, network.stride_px, network.symmetries

    def forward(self, x: Tensor, stage: int = 2, symmetry: int = 0) -> tuple[Tensor, Tensor]:
        return self.damage(x, *self.own(x, stage=stage, symmetry=symmetry))


def damaged(model: Model, damage: Damage) -> Model:
    return replace(model, network=Damaged(as_network(model.network), damage))


def _smooth(image: Tensor, sigma_px: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(image.numpy(), (0, 0, sigma_px, sigma_px)))


def remembers(noise: Tensor, share: float) -> Damage:
    """The denoised image keeps a share of the noise of the recording (`y x`), whatever the input, as a network that knows it by heart."""

    def damage(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        border = [(a - b) // 2 for a, b in zip(y.shape[-2:], noise.shape, strict=True)]
        return denoised + share * mirror(noise[None, None], border), x

    return damage


def weaves(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A tartan of 8 pixels along both axes, as strong as a twentieth of a bright place."""
    size = 0.05 * float(torch.quantile(denoised, 0.99))
    rows, columns = (torch.sin(2 * torch.pi * torch.arange(n) / 8) for n in denoised.shape[-2:])
    return denoised + size * (rows[:, None] + columns), x


def scaled(factor: float) -> Damage:
    return lambda y, denoised, x: (denoised, factor * x)


def hazed(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A twentieth of the light of a bright place everywhere in the deconvolved image."""
    return denoised, x + 0.05 * float(torch.quantile(denoised, 0.998))


def shifted(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The deconvolved image one raw pixel too far to the right."""
    return denoised, torch.roll(x, 2, -1)


def loses_points(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """What is brighter than its surroundings of 12 fine pixels is cut down to them, as a network does that takes points for noise."""
    return denoised, torch.minimum(x, 2 * _smooth(x, 12.0))


def erases(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A disc of 8 fine pixels about the brightest place in the middle half, which stays dark."""
    rows, columns = (torch.arange(n) for n in x.shape[-2:])
    ny, nx = x.shape[-2:]
    inner = torch.zeros_like(x)
    inner[..., ny // 4 : -(ny // 4), nx // 4 : -(nx // 4)] = 1
    at = int((inner * _smooth(x, 4.0)).flatten().argmax())
    near = (rows[:, None] - at // x.shape[-1]) ** 2 + (columns - at % x.shape[-1]) ** 2 < 8**2
    return denoised, torch.where(near, torch.zeros_like(x), x)


def replaces(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """A quarter of the field is that of its mirror image."""
    wrong, (ny, nx) = x.clone(), x.shape[-2:]
    wrong[..., : ny // 2, : nx // 2] = x.flip(-1)[..., : ny // 2, : nx // 2]
    return denoised, wrong


def merges(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """No deconvolution beyond 4 fine pixels (sigma)."""
    return denoised, _smooth(x, 4.0)


def unreliable(y: Tensor, denoised: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Detail finer than 24 fine pixels is that of the noise of the recording, which is coarser than what any of the recordings holds."""
    noise = upsample(y - denoised, (2, 2))
    return denoised, _smooth(x, 8.0) + 2 * (_smooth(noise, 1.0) - _smooth(noise, 8.0))


def fits_noise(operator: Operator) -> Damage:
    """Richardson-Lucy with 1000 iterations."""
    return lambda y, denoised, x: (denoised, richardson_lucy(y.clamp(min=0), operator, [1000])[0])


def resampled(case: Recorded) -> Recorded:
    """Twice as large by cubic interpolation."""
    counts = np.rint(np.asarray(zoom(case.image.data.astype(float), 2, order=3))).clip(0, 65535).astype(np.uint16)
    image = replace(case.image, data=counts, spacing_um={axis: um / 2 for axis, um in case.image.spacing_um.items()})
    return replace(case, image=image)


def with_lines(case: Recorded, axis: int, share: float = 0.25) -> Recorded:
    """An offset of each row (or column), of a quarter of the noise."""
    counts = case.image.data.astype(float)
    offsets = np.random.default_rng([int(counts.sum()), 7]).normal(0, share * _noise_sd(case), counts.shape[axis])
    added = np.rint(counts + (offsets[:, None] if axis == 0 else offsets))
    return case.with_counts(added.clip(0, 65535).astype(np.uint16))


def with_pixels(case: Recorded, seed: int, size: float, frames: int = 8) -> list[np.ndarray]:
    """Frames of a field that does not change, with an offset of each pixel, of so many standard deviations of the noise."""
    counts = counts_of(case.kind, np.broadcast_to(case.electrons, (frames, *case.electrons.shape)), seed).astype(float)
    offsets = np.random.default_rng([seed, 5]).normal(0, size * _noise_sd(case), case.electrons.shape)
    return list(np.rint(counts + offsets).clip(0, 65535).astype(np.uint16))


def _noise_sd(case: Recorded) -> float:
    """Of the median pixel, counts."""
    from zsdeconv.camera.calibrate import calibrate

    camera = calibrate(case.image.data).camera
    median = float(np.median(case.image.data)) - camera.offset
    return float(np.sqrt(camera.gain * max(median, 0.0) + camera.read_variance))


def displayed(case: Recorded) -> Recorded:
    """As a display shows it, in 8 bits (gamma 1 / 2.2)."""
    y = case.image.data.astype(float)
    return case.with_counts((255 * np.clip((y - y.min()) / np.ptp(y), 0, 1) ** 0.45).round().astype(np.uint8))


def saturated(case: Recorded) -> Recorded:
    """The brightest two per cent of the pixels are clipped."""
    y = case.image.data
    return case.with_counts(np.minimum(y, np.percentile(y, 98)).astype(y.dtype))


def floored(case: Recorded) -> Recorded:
    """The offset is subtracted by another program, and what is below it is 0."""
    y = case.image.data.astype(float)
    return case.with_counts((y - np.median(y[y < np.percentile(y, 50)])).clip(0).astype(np.uint16))


def comatic_case(seed: int) -> Recorded:
    """Recorded through a lens with coma of 1 rad rms, of which nothing is told."""
    scene = scene_of(seed, FIELD_PX, WELL_LIT_PHOTONS)
    return right(seed, side=FIELD_PX, kind="camera", photons=WELL_LIT_PHOTONS, psf=comatic(scene, 1.0, 1.1 * seed))


def in_frames(case: Recorded, seed: int, frames: int = 12) -> Recorded:
    """A movie: the light of one half of the field rises while that of the other falls, by 40 per cent; its upper third stays."""
    ny, nx = case.electrons.shape
    side = np.where(np.arange(nx) < nx // 2, 1.0, -1.0) * (np.arange(ny) >= ny // 3)[:, None]
    waves = 1 + 0.4 * np.sin(2 * np.pi * np.arange(frames) / frames)[:, None, None] * side
    counts = counts_of(case.kind, case.electrons * waves, seed)
    return replace(case, image=zs.Image(counts, "TYX", case.image.spacing_um), electrons=case.electrons * waves)


def repeated(movie: Recorded) -> Recorded:
    """The fifth frame of a movie once more, in place of the sixth."""
    counts = movie.image.data.copy()
    counts[5] = counts[4]
    return movie.with_counts(counts)


def without_light(movie: Recorded) -> Recorded:
    """The fifth frame of a movie is dark."""
    counts = movie.image.data.copy()
    counts[4] = counts_of(movie.kind, np.zeros_like(movie.electrons[4]), int(counts.sum() % 2**32))
    return movie.with_counts(counts)


def flattened(x: np.ndarray) -> np.ndarray:
    """A fifth of all changes over time is lost."""
    return x + 0.2 * (x.mean(0) - x)


def delayed(x: np.ndarray) -> np.ndarray:
    """Each frame comes one too late."""
    return np.roll(x, 1, 0)


def flickering(x: np.ndarray) -> np.ndarray:
    """The brightness of single frames is off by a fifth, which is more than the noise of a region of raw pixels."""
    return x * (1 + 0.2 * np.resize([1.0, -1.0, -1.0, 1.0], len(x))[:, None, None])


def fringed(seed: int, modulation: float) -> Model:
    """The model of a recording under structured illumination before any training."""
    scene = SimScene(size=FIELD_PX, photons=WELL_LIT_PHOTONS, structure=scene_of(seed).structure, seed=seed, modulation=modulation)
    optics = {"na": scene.na, "wavelength_nm": scene.wavelength_nm}
    noisy = simulate_sim2d(scene).noisy
    case = Recorded(None, "camera", noisy, np.asarray(noisy.data, float), optics, {})
    return untrained(case, modality="sim2d")


def second_bead(samples: np.ndarray, fwhm: float) -> np.ndarray:
    """Another bead at a distance of three widths, half as bright."""
    return samples + 0.5 * np.roll(samples, round(3 * fwhm), 1)


def coarse(samples: np.ndarray, fwhm: float) -> np.ndarray:
    """A value only for every width."""
    step = max(round(fwhm), 1)
    middle = [slice((n // 2) % step, None, step) for n in samples.shape]
    return samples[tuple(middle)]


def raised(samples: np.ndarray, fwhm: float) -> np.ndarray:
    """On a tenth of the peak."""
    return samples + 0.1


def moved(samples: np.ndarray, fwhm: float) -> np.ndarray:
    """A width away from the middle."""
    return np.roll(samples, max(round(fwhm), 1), 0)


def lens_of(seed: int) -> tuple[float, float]:
    """NA and wavelength (nm) of one of many microscopes."""
    rng = np.random.default_rng([seed, 3])
    return float(rng.uniform(0.7, 1.45)), float(rng.uniform(450, 680))


def bead(seed: int, change: Callable[[np.ndarray, float], np.ndarray] | None = None, half_fwhm: float = 6.0) -> tuple[np.ndarray, float]:
    """Samples of the PSF of a lens by its seed, as of averaged beads, with noise of a thousandth of its peak, and their step in um; what
    `change` makes of them (samples, FWHM in samples).
    """
    na, wavelength_nm = lens_of(seed)
    step_um = 0.22 * wavelength_nm * 1e-3 / na
    fwhm = 0.51 * wavelength_nm * 1e-3 / na / step_um
    ideal = theoretical_psf(Optics(na, wavelength_nm, 1.515), (step_um, step_um)).values
    half = min(round(half_fwhm * fwhm), *(n // 2 for n in ideal.shape))
    middle = tuple(slice(n // 2 - half, n // 2 + half + 1) for n in ideal.shape)
    samples = ideal[middle] / ideal.max()
    samples = samples if change is None else change(samples, fwhm)
    return samples + np.random.default_rng([seed, 4]).normal(0, 1e-3, samples.shape), step_um


def store(model: Model, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path, overwrite=True)
