"""The finest detail that the data support: the frequency at which the signal falls below the noise, and the agreement of two splits.

At each spatial frequency the data hold the power `S` of the signal and `N` of the noise. Beyond the frequency at which `S` falls below
`N / 6` (a Fourier ring correlation of 1/7 between two such recordings), detail of a restored image is not in the data but inferred by the
network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from zsdeconv.acquisition.base import Measurement
from zsdeconv.findings import Finding, Level
from zsdeconv.metrics import FRC_THRESHOLD, frc_curve
from zsdeconv.report.page.style import ACCENT, DARK, GREY, LIGHT, WARNING, frequency_axis, plain
from zsdeconv.report.section import CaptionedFigure, Section
from zsdeconv.report.statistics.decorrelation import Decorrelation, decorrelation
from zsdeconv.report.statistics.signal_to_noise import MIN_SNR, ROUNDS, SignalToNoise, signal_to_noise
from zsdeconv.report.statistics.splits import at_full_light, noise_splits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEY = "resolution"
TITLE = "Resolution"
QUESTION = "How fine is the detail that the data support?"
NUMBERS = (
    "noise_limit_nm",
    "optical_cutoff_nm",
    "frc_raw_nm",
    "frc_restored_nm",
    "frc_recorded_nm",
    "finest_frequency_nm",
    "decorrelation_nm",
)

SPLIT_ROUNDS = 4
"""Splits of the data whose correlations are averaged. Chosen: they halve the noise of the curve."""
LEAST_LIMIT_FRACTION = 0.05
"""Share of that limit below which the data hold no detail. Chosen: it is twenty times as coarse as what lens and pixels can record."""
MIN_LIMIT_FRACTION = 0.5
"""Noise limit over the optical cutoff from which the level is ok. Chosen: below it, light limits the resolution more than the lens."""
FULL_LIMIT_FRACTION = 0.98
"""Noise limit over the optical cutoff from which noise is not the limit. Chosen: a ring of frequencies is as wide."""
CENTRAL_RINGS = 2
"""Innermost rings in which no crossing is looked for. Chosen: they hold a handful of values each."""
Images = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Correlation:
    """A Fourier ring correlation `frc` at `frequency_per_um`, and the first frequency at which it falls below 1/7 (None: nowhere)."""

    frequency_per_um: np.ndarray
    frc: np.ndarray
    crossing_per_um: float | None


@dataclass(frozen=True, eq=False)
class Resolution:
    """How fine the detail is: in the data (`spectrum`, `raw`), and in the restoration (`restored`, `structure`).

    `raw` is the Fourier ring correlation of two splits of the data, `restored` that of their restorations, both at full light; `recorded`
    that of two recordings of a static sample. `structure` is the decorrelation analysis of the restored image. What was not given is
    None. `cutoff_per_um` is the highest frequency that the optics pass.
    """

    spectrum: SignalToNoise
    raw: Correlation
    restored: Correlation | None
    recorded: Correlation | None
    structure: Decorrelation | None
    cutoff_per_um: float | None


def measure(
    measurement: Measurement,
    yx_spacing_um: Sequence[float],
    *,
    restored_splits: Images | None = None,
    recorded_splits: Images | None = None,
    restored: np.ndarray | None = None,
    cutoff_per_um: float | None = None,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> Resolution:
    """The resolution of an image, without any reference. Images cover the same field on any grid; the planes of a stack are pooled.

    Parameters
    ----------
    measurement : image and its noise
    yx_spacing_um : pixel size
    restored_splits : restorations of two splits of the data (`zsdeconv.report.statistics.splits.restored_splits`)
    recorded_splits : two recordings of a static sample (`alternating_splits`)
    restored : the restored image
    cutoff_per_um : highest frequency that the optics pass
    seed : of the noise that is drawn
    rounds : images of noise that are drawn

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> clean = torch.zeros(96, 96)
    >>> clean[20:76, 45:51] = 40.0
    >>> noisy = torch.poisson(clean + 2, generator=torch.Generator().manual_seed(1))
    >>> measure(CameraMeasurement(noisy, Camera(0.0, 1.0, 0.0)), (0.1, 0.1)).spectrum.limit_nm is None
    False
    """
    shape = np.array(measurement.y.shape[-2:])

    def correlation(pair: Images, *, halved: bool) -> Correlation:
        spacing = shape / pair[0].shape[-2:] * np.array(yx_spacing_um)
        frequency, frc = frc_curve(pair[0], pair[1], (float(spacing[0]), float(spacing[1])))
        return _crossed(frequency, at_full_light(frc) if halved else frc)

    generator = torch.Generator().manual_seed(seed)
    splits = [correlation(_arrays(*noise_splits(measurement, generator)), halved=False) for _ in range(SPLIT_ROUNDS)]
    raw = _crossed(splits[0].frequency_per_um, at_full_light(np.mean([split.frc for split in splits], 0)))
    fine_um = None if restored is None else shape / restored.shape[-2:] * np.array(yx_spacing_um)
    return Resolution(
        spectrum=signal_to_noise(measurement, yx_spacing_um, cutoff_per_um=cutoff_per_um, seed=seed, rounds=rounds),
        raw=raw,
        restored=None if restored_splits is None else correlation(restored_splits, halved=True),
        recorded=None if recorded_splits is None else correlation(recorded_splits, halved=False),
        structure=None if restored is None or fine_um is None else decorrelation(restored, fine_um.tolist()),
        cutoff_per_um=cutoff_per_um,
    )


def section(result: Resolution) -> Section:
    """The noise limit and the agreement of restored splits, with their curves.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> noise = CameraMeasurement(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)), Camera(0.0, 0.0, 1.0))
    >>> section(measure(noise, (0.1, 0.1))).level
    'fail'
    """
    values = (
        result.spectrum.limit_nm,
        _period_nm(result.cutoff_per_um),
        _period_nm(result.raw.crossing_per_um),
        None if result.restored is None else _period_nm(result.restored.crossing_per_um),
        None if result.recorded is None else _period_nm(result.recorded.crossing_per_um),
        _period_nm(result.spectrum.end_per_um),
        None if result.structure is None else result.structure.resolution_nm,
    )
    curves = (
        "Fourier ring correlation of two splits of the data, each with half the light, at full light: of the data (grey), of their "
        "restorations (blue). One network has restored both splits, which makes the blue curve too high where the grey one is low. Beyond "
        "the noise limit (orange) the data hold no signal."
    )
    ratio = "Power of the signal over that of the noise in the data. The noise limit is where it falls below the dotted line, 1/6."
    figures = [
        CaptionedFigure(curves, lambda figure: _draw_correlation(figure, result), (6.4, 3.4)),
        CaptionedFigure(ratio, lambda figure: _draw_ratio(figure, result), (6.4, 3.0)),
    ]
    findings = [_limit_finding(result), _agreement_finding(result)]
    return Section(KEY, TITLE, QUESTION, findings, dict(zip(NUMBERS, values, strict=True)), figures)


def _limit_finding(result: Resolution) -> Finding:
    limit, end, name = result.spectrum.limit_per_um, result.spectrum.end_per_um, "noise_limit_nm"
    if limit is None:
        text = "The data hold no signal above the noise at any frequency, so all detail of the restored image is inferred by the network"
        return Finding("fail", name, 0.0, 1e3 / end, f"{text}; record more light.")
    nm, min_nm = 1e3 / limit, 1e3 / (MIN_LIMIT_FRACTION * end)
    if limit < LEAST_LIMIT_FRACTION * end:
        text = f"Only structure coarser than {nm / 1e3:.3g} um stands above the noise, all detail of the restored image is inferred"
        return Finding("fail", name, nm, min_nm, f"{text} by the network; record more light.")
    by = "the optics" if result.cutoff_per_um and end < result.spectrum.frequency_per_um[-1] else "the pixels"
    if limit >= FULL_LIMIT_FRACTION * end:
        text = f"The data hold detail down to the finest that {by} can record, {nm:.0f} nm; finer detail is inferred by the network."
        return Finding("ok", name, nm, 1e3 / end, text)
    text = (
        f"The data hold detail down to {nm:.0f} nm above their noise (limit {min_nm:.0f} nm; {by} can record {1e3 / end:.0f} nm); finer "
        "detail is inferred by the network"
    )
    level: Level = "ok" if limit > MIN_LIMIT_FRACTION * end else "warn"
    return Finding(level, name, nm, min_nm, f"{text}." if level == "ok" else f"{text}: record more light.")


def _agreement_finding(result: Resolution) -> Finding:
    """Whether the restorations of two splits agree as far as the data do."""
    restored, limit, name = result.restored, result.spectrum.limit_per_um, "frc_restored_nm"
    if restored is None or limit is None:
        why = "the data hold no signal above the noise" if limit is None else "they were not restored"
        return Finding.not_checked(name, f"Two halves of the light were not compared with the noise limit, because {why}.")
    per_um = restored.crossing_per_um or float(restored.frequency_per_um[-1])
    nm, limit_nm = 1e3 / per_um, 1e3 / limit
    text = f"Two halves of the light, restored apart, agree down to {nm:.0f} nm (limit {limit_nm:.0f} nm, the noise limit)"
    if nm <= limit_nm:
        caveat = "agreement beyond the noise limit comes from the network and proves nothing"
        return Finding("ok", name, nm, limit_nm, f"{text}; {caveat}.")
    return Finding("warn", name, nm, limit_nm, f"{text}; detail in the data is not restored reliably: train with more `steps`.")


def _crossed(frequency: np.ndarray, frc: np.ndarray) -> Correlation:
    """With the first frequency, averaged over three rings, at which it falls below 1/7."""
    smooth = np.convolve(np.pad(frc, 1, mode="edge"), np.ones(3) / 3, "valid")
    below = np.flatnonzero(smooth[CENTRAL_RINGS:] < FRC_THRESHOLD) + CENTRAL_RINGS
    return Correlation(frequency, frc, float(frequency[below[0]]) if below.size else None)


def _arrays(*tensors: torch.Tensor) -> Images:
    first, second = (tensor.cpu().numpy() for tensor in tensors)
    return first, second


def _period_nm(per_um: float | None) -> float | None:
    return 1e3 / per_um if per_um else None


def _draw_correlation(figure: Figure, result: Resolution) -> None:
    axes = figure.subplots()
    axes.plot(result.raw.frequency_per_um, result.raw.frc, color=GREY, lw=1.4, label="data")
    if result.recorded is not None:
        axes.plot(result.recorded.frequency_per_um, result.recorded.frc, color=DARK, lw=1, ls="--", label="two recordings")
    if result.restored is not None:
        axes.plot(result.restored.frequency_per_um, result.restored.frc, color=ACCENT, lw=1.6, label="restored")
    axes.axhline(FRC_THRESHOLD, color=LIGHT, lw=1, ls=":")
    axes.set_ylim(-0.1, 1.05)
    axes.set_ylabel("correlation of two splits")
    end = max(curve.frequency_per_um[-1] for curve in (result.raw, result.restored or result.raw))
    _mark_limits(axes, result, float(end))
    axes.legend(frameon=False, fontsize=8, loc="center right")


def _draw_ratio(figure: Figure, result: Resolution) -> None:
    spectrum, axes = result.spectrum, figure.subplots()
    positive = spectrum.snr > 1e-3
    axes.semilogy(spectrum.frequency_per_um[positive], spectrum.snr[positive], color=ACCENT, lw=1.4)
    axes.semilogy(spectrum.frequency_per_um[1:], spectrum.least[1:], color=LIGHT, lw=1, ls=":")
    axes.set_ylim(MIN_SNR / 5, max(10.0, 2 * float(spectrum.snr.max())))
    axes.set_ylabel("signal / noise (power)")
    _mark_limits(axes, result, float(spectrum.frequency_per_um[-1]))


def _mark_limits(axes: Axes, result: Resolution, end_per_um: float) -> None:
    """The noise limit and the optical cutoff, and both scales of the frequency axis."""
    marks = ((result.spectrum.limit_per_um, "noise limit", WARNING), (result.cutoff_per_um, "optical cutoff", DARK))
    for per_um, words, colour in marks:
        if per_um is not None and per_um <= end_per_um:
            axes.axvline(per_um, color=colour, lw=1.2)
            at = axes.get_xaxis_transform()
            axes.text(per_um, 0.5, f" {words}", color=colour, fontsize=8, rotation=90, ha="right", va="center", transform=at)
    frequency_axis(axes, end_per_um)
    plain(axes)
    axes.set_xlim(0, np.ceil(end_per_um * 10) / 10)
