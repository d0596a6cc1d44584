"""The sections of the configuration: every setting once, with its type, its limits and its default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zsdeconv.errors import ConfigError

if TYPE_CHECKING:
    from zsdeconv.image import StageScan

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
"""Types of numbers: their limits are those of the words, and infinity is none of them."""
Wavelengths = Annotated[tuple[Positive, ...], Field(min_length=1)]
Paths = Annotated[tuple[str, ...], Field(min_length=1)]
"""Lists with an entry for each channel."""
Preset = Literal["fast", "paper", "quality"]


@dataclass(frozen=True)
class Setting:
    """A field that has a name of its own outside its section: an argument of `zsdeconv.train` and an option of the command line.

    Fields without a `Setting` are set in a configuration file only. `help` is a phrase, `unit` the word for the unit, `default` says in
    words what holds when nothing is given and the field cannot tell. `name` is the flat name where it is not that of the field, `metavar`
    what stands for the value in the help (`FILE` marks a path), and `group` the heading where it is not the `title` of the section.

    >>> Setting("pixel size", unit="micrometres", default="from the file").phrase(None)
    'pixel size, micrometres [default: from the file]'
    """

    help: str
    unit: str = ""
    default: str = ""
    name: str = ""
    metavar: str = ""
    group: str = ""

    def phrase(self, value: object) -> str:
        """Help with unit and default; `value` is the default of the field."""
        default = self.default or ("" if value is None or isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value)
        return f"{self.help}{self.unit and f', {self.unit}'}{f' [default: {default}]' if default != '' else ''}"


class Section(BaseModel):
    """Base of all sections: frozen, and strict about names. `title` is the heading of its options in the help."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    title: ClassVar[str] = ""


class InputSection(Section):
    """What the file does not say about the image: axis letters, pixel sizes, the scan of a stage that moves at an angle to the sheet
    (`zsdeconv.image.scan`), camera offset in ADU, detector, maps of the camera.
    """

    title: ClassVar[str] = "Input"
    axes: Annotated[str | None, Setting("axes of the input, such as TYX", default="from the file", metavar="LETTERS")] = None
    pixel_um: Annotated[Positive | None, Setting("pixel size in the sample", unit="micrometres", default="from the file")] = None
    z_um: Annotated[Positive | None, Setting("step between the planes of a stack", unit="micrometres", default="from the file")] = None
    scan_angle_deg: Annotated[
        float | None,
        Setting("angle of the stage's motion to the camera's planes, of a skewed scan", unit="degrees", default="from the file, else none"),
    ] = None
    scan_step_um: Annotated[
        float | None, Setting("step of the stage between planes, of a skewed scan", unit="micrometres", default="from the file, else none")
    ] = None
    scan_reverse: Annotated[bool, Setting("objects move towards the last row from plane to plane, not the first")] = False
    channel: Annotated[
        tuple[str, ...] | None, Setting("channels to restore, by number from 1 or by name", default="all", metavar="LIST")
    ] = None
    scene: Annotated[
        str | None, Setting("which image of a file with several, by number from 1 or by name", default="the only one", metavar="NAME")
    ] = None
    background: Annotated[
        Literal["auto"] | Annotated[float, Field(allow_inf_nan=False)], Setting("camera offset", unit="ADU", metavar="ADU")
    ] = "auto"
    detector: Annotated[
        Literal["auto", "camera", "emccd", "counting"],
        Setting("camera, emccd (electron multiplication, photomultiplier), or counting (photons)", default="from the noise"),
    ] = "auto"
    camera: Annotated[
        str | None, Setting("maps of offset, gain and read noise of each pixel, from `zsdeconv calibrate`", default="none", metavar="FILE")
    ] = None
    crop: Annotated[
        str | None, Setting("part of the image, in pixels from 0: Y0:Y1,X0:X1, or with letters T0:5,Z3:20", metavar="RANGES")
    ] = None

    @model_validator(mode="after")
    def _readable_crop(self) -> InputSection:
        from zsdeconv.image import crop_ranges

        try:
            if self.crop is not None:
                crop_ranges(self.crop)
        except ConfigError as fault:
            raise ValueError(str(fault)) from None
        return self

    @property
    def scan(self) -> StageScan | None:
        """The scan of a stage that moves at an angle to the sheet; None where its angle or its step is not known."""
        from zsdeconv.image import StageScan

        if self.scan_angle_deg is None or self.scan_step_um is None:
            return None
        return StageScan(self.scan_angle_deg, self.scan_step_um, self.scan_reverse)

    @model_validator(mode="after")
    def _possible_scan(self) -> InputSection:
        from zsdeconv.image import StageScan

        try:
            StageScan(45.0 if self.scan_angle_deg is None else self.scan_angle_deg, 1.0 if self.scan_step_um is None else self.scan_step_um)
        except ConfigError as fault:
            raise ValueError(str(fault)) from None
        return self


class OpticsSection(Section):
    """The microscope, as numbers for the theory or as a measured PSF or OTF file (one of the two, not both).

    What the numbers mean is said at `zsdeconv.Optics`.
    """

    title: ClassVar[str] = "Optics"
    na: Annotated[Positive | None, Setting("numerical aperture of the objective", default="from the file")] = None
    wavelength_nm: Annotated[
        Positive | Wavelengths | None,
        Setting("emission wavelength, one for each channel", unit="nanometres", default="from the file", metavar="NM[,NM...]"),
    ] = None
    immersion_ri: Annotated[Positive | None, Setting("refractive index of the immersion", default="the lowest usual one above the NA")] = (
        None
    )
    pupil: Annotated[Literal["scalar", "vectorial"], Setting("model of the objective: scalar, or vectorial (exact at high NA)")] = "scalar"
    psf: Annotated[str | Paths | None, Setting("measured PSF instead of theory, one for each channel", metavar="FILE[,FILE...]")] = None
    otf: Annotated[str | Paths | None, Setting("measured OTF (.mrc) instead of theory, one for each channel", metavar="FILE[,FILE...]")] = (
        None
    )
    psf_pixel_um: Annotated[Positive | None, Setting("pixel size of the PSF file", unit="micrometres", default="from the file")] = None
    psf_z_um: Annotated[Positive | None, Setting("step between planes of the PSF file", unit="micrometres", default="from the file")] = None
    microscope: Annotated[
        Literal["widefield", "confocal", "twophoton", "lightsheet", "lattice"] | None,
        Setting("widefield, confocal, twophoton, lightsheet or lattice", default="from the file, else widefield"),
    ] = None
    sheet_um: Annotated[Positive | None, Setting("half thickness of the light sheet, where it has fallen to 1/e^2", unit="micrometres")] = (
        None
    )
    pinhole_au: Annotated[Positive | None, Setting("confocal: diameter of the pinhole", unit="Airy units", default="1")] = None
    excitation_nm: Annotated[
        Positive | Wavelengths | None,
        Setting("laser, one for each channel", unit="nanometres", default="0.93 x emission; two-photon none", metavar="NM[,NM...]"),
    ] = None
    sample_ri: Annotated[Positive | None, Setting("refractive index of the sample", default="that of the immersion")] = None
    depth_um: Annotated[NotNegative | None, Setting("depth of the object below the cover glass", unit="micrometres", default="0")] = None

    def one(self, name: str) -> Any:
        """The value of a setting for an image of one channel; the only entry of a list.

        Raises `ConfigError` for a longer list.

        >>> OpticsSection(wavelength_nm=(525.0,)).one("wavelength_nm")
        525.0
        """
        value = getattr(self, name)
        if not isinstance(value, tuple):
            return value
        if len(value) > 1:
            raise ConfigError(f"`{name}` has {len(value)} entries, the image has 1 channel; give one entry, or `axes` with C")
        return next(iter(value))

    @model_validator(mode="after")
    def _one_source(self) -> OpticsSection:
        if self.psf and self.otf:
            raise ValueError("both a PSF and an OTF file are given, the lens has one: leave out `psf` or `otf`")
        return self


class PairsSection(Section):
    """How pairs are made: by splitting electrons or re-corruption (Eq. 2, 3; ranges that each pair draws from), of every other plane
    of a stack (Eq. 8), or of pixels and their surroundings (blind spots).
    """

    title: ClassVar[str] = "Training"
    kind: Annotated[
        Literal["auto", "split", "recorrupt", "interleave", "blind"],
        Setting(
            "auto, split (divide electrons), recorrupt (add noise), interleave (odd and even planes of a stack), or blind (pixels from "
            "their surroundings, for noise of no known law)",
            name="pairs",
        ),
    ] = "auto"
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
        """Noise added in prediction, for the network to see the noise that it was trained on: none where none was added to its pairs."""
        return 1.0 if self.adds_noise else 0.0

    @property
    def adds_noise(self) -> bool:
        """Whether pairs are made by the law of the noise."""
        return self.kind not in ("interleave", "blind")


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
    """Structured illumination: `directions` x `phases` raw frames in that `order`; about how the fringes lie (`angles_deg`, `period_um`)
    or a file of `parameters`; `per_frame`, the pattern is measured anew at each time, for fringes that drift; the `wiener` parameter of
    the reconstruction (None: from the noise). Or the images are `reconstructed` already, by whatever program.
    """

    title: ClassVar[str] = "Structured illumination"
    directions: Annotated[Count | None, Setting("directions of the pattern", default="3")] = None
    phases: Annotated[Count | None, Setting("phases of each direction", default="3; of a stack under three beams 5")] = None
    order: Annotated[
        str | None,
        Setting(
            "what changes slowest, first: direction-phase (all phases of a direction, then the next) or phase-direction; of a stack also "
            "direction-z-phase, z-direction-phase ...",
            default="direction-phase, plane by plane",
        ),
    ] = None
    angles_deg: Annotated[
        tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None,
        Setting("approximate directions of the wave vectors, from +x towards +y (down)", unit="degrees", metavar="A,B,C"),
    ] = None
    period_um: Annotated[Positive | None, Setting("approximate period of the finest fringes", unit="micrometres")] = None
    parameters: Annotated[
        str | None,
        Setting("pattern from `zsdeconv sim estimate`", default="estimated on the frames", name="sim_parameters", metavar="FILE"),
    ] = None
    per_frame: Annotated[bool, Setting("measure the pattern anew at each time, for fringes that drift")] = False
    wiener: Annotated[
        Positive | None, Setting("0.1 for bright, 0.4 for dim frames, of stacks a tenth", default="from the noise", metavar="W")
    ] = None
    reconstructed: Annotated[bool, Setting("the stack is reconstructed already; `psf` is the PSF of its reconstruction")] = False


class LossSection(Section):
    """Weights of Eq. 4, 6 and 8, and the kind of error."""

    mu: Annotated[float, Field(ge=0, le=1)] = 0.5
    lambda_hessian: NotNegative = 0.0
    gamma: NotNegative = 1.0
    norm: Literal["l2", "l1"] = "l2"


class TrainingSection(Section):
    """The training loop: patches in raw pixels and, of stacks, planes (`margin_px` and `margin_planes` of them outside the loss),
    the optimizer (`muon` orthogonalises the steps of kernels), its rate and schedule (halved at step `halve_from`, then every
    `halve_every`), the budget, the bound of stage 1 in steps over the square root of the number of pixels (`memory_bound`),
    the share of the budget that goes to stage 2, the width of the finest detail that stage 2 is asked for as a share of the width of the
    PSF, validation and stopping, and the size of the `ensemble`: the number of networks that are trained, each with the whole budget.
    """

    title: ClassVar[str] = "Training"
    patch_px: Annotated[int, Field(ge=8)] = 64
    patch_planes: Annotated[int, Field(ge=2)] = 16
    margin_px: Annotated[int, Field(ge=0)] = 0
    margin_planes: Annotated[int, Field(ge=0)] = 0
    batch: Count = 8
    optimizer: Literal["muon", "adam"] = "muon"
    learning_rate: Positive = 1e-3
    schedule: Literal["cosine", "halving"] = "cosine"
    halve_from: Count = 10_000
    halve_every: Count = 10_000
    steps: Annotated[Count, Setting("training budget in steps", default="of the preset")] = 1800
    minutes: Annotated[Positive | None, Setting("training budget in minutes")] = None
    memory_bound: Positive = 2.7
    stage2_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.45
    target_fwhm_fraction: Annotated[float, Field(gt=0, le=1)] = 0.22
    validate_every: Count = 50
    patience: Count = 20
    ensemble: Annotated[
        int,
        Field(ge=1, le=64),
        Setting("train N networks, each with the whole budget, and restore with all", metavar="N"),
    ] = 1

    def patch(self, rank: int) -> tuple[int, ...]:
        """Size of a patch along each spatial axis.

        >>> TrainingSection(patch_px=48, patch_planes=16).patch(3)
        (16, 48, 48)
        """
        return (self.patch_planes, self.patch_px, self.patch_px)[-rank:]

    def margin(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Margin of a patch along each spatial axis, a quarter of it at most, so that half of it stays in the loss.

        >>> TrainingSection(margin_px=8, margin_planes=2).margin((5, 48, 48))
        (1, 8, 8)
        """
        wanted = (self.margin_planes, self.margin_px, self.margin_px)[-len(patch) :]
        return tuple(min(m, (n - 1) // 4) for m, n in zip(wanted, patch, strict=True))


class PredictionSection(Section):
    """Tiles in raw pixels (None: as large as the memory bound allows), whether results of a skewed scan are deskewed, averaged re-corrupted
    passes, and damping of stripes along an
    axis that are as wide at most and as long at least (off by default: it takes real frequencies, too).
    """

    title: ClassVar[str] = "Prediction"
    tile: Annotated[Annotated[int, Field(ge=32)] | None, Setting("side of the tiles in pixels", default="as memory allows")] = None
    overlap: Annotated[Annotated[int, Field(ge=0)] | None, Setting("pixels that tiles share", default="the support of network and PSF")] = (
        None
    )
    batch: Annotated[Count, Setting("tiles at a time")] = 1
    deskew: Annotated[
        bool, Setting("deskew the results of a skewed scan; off: they stay in the coordinates of the camera", default="on")
    ] = True
    passes: Annotated[int, Field(ge=0), Setting("averaged re-corrupted passes, 0 for none", default="of the preset")] = 8
    destripe: Annotated[
        Literal["Y", "X"] | None, Setting("damp stripes along this axis; damps real lines, too", default="off", metavar="X|Y")
    ] = None
    stripe_width_um: Annotated[Positive, Setting("widest stripe", unit="micrometres")] = 1.0
    stripe_length_um: Annotated[Positive, Setting("shortest stripe", unit="micrometres")] = 10.0
