"""The sections of the configuration: every setting once, with its type, its limits and its default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Preset = Literal["fast", "paper", "quality"]


class Section(BaseModel):
    """Base of all sections: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSection(Section):
    """What the file does not say about the image: axis letters, pixel sizes, camera offset in ADU."""

    axes: str | None = None
    pixel_um: Positive | None = None
    z_um: Positive | None = None
    background: Literal["auto"] | Annotated[float, Field(allow_inf_nan=False)] = "auto"


class OpticsSection(Section):
    """The microscope, as numbers for the theory or as a measured PSF or OTF file (one of the two, not both).

    What the numbers mean is said at `zsdeconv.Optics`.
    """

    na: Positive | None = None
    wavelength_nm: Positive | None = None
    immersion_ri: Positive | None = None
    pupil: Literal["scalar", "vectorial"] = "scalar"
    psf: str | None = None
    otf: str | None = None
    psf_pixel_um: Positive | None = None
    psf_z_um: Positive | None = None
    microscope: Literal["widefield", "confocal", "twophoton", "lightsheet", "lattice"] = "widefield"
    sheet_um: Positive | None = None
    pinhole_au: Positive | None = None
    excitation_nm: Positive | None = None
    sample_ri: Positive | None = None
    depth_um: NotNegative | None = None

    @model_validator(mode="after")
    def _one_source(self) -> OpticsSection:
        if self.psf and self.otf:
            raise ValueError("both a PSF and an OTF file are given, the lens has one: leave out --psf or --otf")
        return self


class PairsSection(Section):
    """How pairs are made: by re-corruption (Eq. 2, 3; ranges that each pair draws from), or of every other plane of a stack (Eq. 8)."""

    kind: Literal["auto", "recorrupt", "interleave"] = "auto"
    alpha: tuple[Positive, Positive] = (1.0, 2.0)
    beta1_factor: tuple[NotNegative, NotNegative] = (0.5, 1.5)
    beta2_factor: tuple[NotNegative, NotNegative] = (0.8, 1.2)

    @model_validator(mode="after")
    def _ordered(self) -> PairsSection:
        for name in ("alpha", "beta1_factor", "beta2_factor"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} {low}-{high}: the first number must not exceed the second; swap them")
        return self

    def ranges(self) -> dict[str, tuple[float, float]]:
        """What re-corruption draws from."""
        return {"alpha": self.alpha, "beta1_factor": self.beta1_factor, "beta2_factor": self.beta2_factor}

    @property
    def prediction_alpha(self) -> float:
        """Noise added in prediction, for the network to see the noise that it was trained on: none after training on slices."""
        return 0.0 if self.kind == "interleave" else 1.0


class NetworkSection(Section):
    """Which network, and how wide: `unet`, `rcan` and `rcan-sim` are the published ones, `fast` our own.

    Of `fast` alone, to be quick with volumes: `lateral_first`, every other convolution leaves z alone; `coarse_start`, the
    deconvolution to start from is one on the raw grid instead of the fine one.
    """

    kind: str = "fast"
    channels: Annotated[tuple[Annotated[int, Field(ge=1, le=512)], ...], Field(min_length=2, max_length=6)] = (16, 32, 64, 64)
    lateral_first: bool = False
    coarse_start: bool = False


class SimSection(Section):
    """Structured illumination: `directions` x `phases` raw frames in that `order`; about how the stripes lie (`angles_deg`, `period_um`)
    or a file of `parameters`; `per_frame`, the pattern is measured anew at each time, for stripes that drift; the `wiener` parameter of
    the reconstruction (None: from the noise). Or the images are `reconstructed` already, by whatever program.
    """

    directions: Count | None = None
    phases: Count | None = None
    order: str | None = None
    angles_deg: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None = None
    period_um: Positive | None = None
    parameters: str | None = None
    per_frame: bool = False
    wiener: Positive | None = None
    reconstructed: bool = False


class LossSection(Section):
    """Weights of Eq. 4, 6 and 8, and the kind of error."""

    mu: Annotated[float, Field(ge=0, le=1)] = 0.5
    lambda_hessian: NotNegative = 0.0
    gamma: NotNegative = 1.0
    norm: Literal["l2", "l1"] = "l2"


class TrainingSection(Section):
    """The training loop: patches in raw pixels and, of stacks, planes (`margin_px` and `margin_planes` of them outside the loss),
    Adam's rate and its schedule (halved at step `halve_from`, then every `halve_every`), the budget, the share of it that goes
    to stage 2, the width of the finest detail that stage 2 is asked for as a share of the width of the PSF, validation and stopping, and
    the size of the `ensemble`: so many networks are trained, each with the whole budget.
    """

    patch_px: Annotated[int, Field(ge=8)] = 64
    patch_planes: Annotated[int, Field(ge=2)] = 16
    margin_px: Annotated[int, Field(ge=0)] = 0
    margin_planes: Annotated[int, Field(ge=0)] = 0
    batch: Count = 8
    learning_rate: Positive = 1e-3
    schedule: Literal["cosine", "halving"] = "cosine"
    halve_from: Count = 10_000
    halve_every: Count = 10_000
    steps: Count = 1800
    minutes: Positive | None = None
    stage2_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.45
    target_fwhm_fraction: Annotated[float, Field(gt=0, le=1)] = 0.22
    validate_every: Count = 50
    patience: Count = 20
    ensemble: Annotated[int, Field(ge=1, le=64)] = 1

    def patch(self, rank: int) -> tuple[int, ...]:
        """Size of a patch along each spatial axis.

        >>> TrainingSection(patch_px=48, patch_planes=16).patch(3)
        (16, 48, 48)
        """
        return (self.patch_planes, self.patch_px, self.patch_px)[-rank:]

    def margin(self, rank: int) -> tuple[int, ...]:
        """Margin of a patch along each spatial axis."""
        return (self.margin_planes, self.margin_px, self.margin_px)[-rank:]


class PredictionSection(Section):
    """Tiles in raw pixels (None: as large as the memory bound allows), averaged re-corrupted passes, and damping of stripes along an
    axis that are as wide at most and as long at least (off by default: it takes real frequencies, too).
    """

    tile: Annotated[int, Field(ge=32)] | None = None
    overlap: Annotated[int, Field(ge=0)] | None = None
    batch: Count = 1
    passes: Annotated[int, Field(ge=0)] = 8
    destripe: Literal["Y", "X"] | None = None
    stripe_width_um: Positive = 1.0
    stripe_length_um: Positive = 10.0
