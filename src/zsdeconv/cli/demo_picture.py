"""The picture of the demonstration: raw, denoised, Richardson-Lucy, deconvolved and truth, whole field and enlarged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

PANELS = ("noisy", "denoised", "richardson_lucy", "deconvolved", "truth")
TITLES = ("raw", "denoised", "Richardson-Lucy", "deconvolved", "truth")
INK, PAPER, ACCENT = "#e8e8e8", "#101014", "#ffd166"
ZOOM_UM = 4.0
"""Side of the enlarged part, um. Chosen: some ten widths of the PSF of a high NA."""
COLOURS = 64
"""Colours of the palette. Chosen: the steps of the colour map stay invisible, and the file is small."""
BRIGHTEST_PERCENTILE = 99.7
"""Top of an intensity scale as a percentile of the noise-free image. Chosen: the few brightest crossings saturate."""


Images = Mapping[str, np.ndarray]
Scores = Mapping[str, Mapping[str, Any]]


def draw(images: Images, scores: Scores, spacing_um: Sequence[float], path: Path) -> None:
    """Draw the panels into a PNG: the whole field, and a part enlarged.

    Parameters
    ----------
    images
        `noisy`, `denoised` and `clean` on the raw grid; `richardson_lucy`, `deconvolved` and `truth` on the fine grid; all in ADU above
        the offset. Each grid has one intensity scale for all its images, from 0 to nearly the maximum of its noise-free image.
    scores
        `psnr` and `ssim` of some of them.
    spacing_um
        Spacing of the raw grid, um: the last is that along x.
    path
        The file.
    """
    field_um = spacing_um[-1] * images["noisy"].shape[-1]
    corner = busiest_corner(images["truth"], round(ZOOM_UM / field_um * images["truth"].shape[-1]))
    corner_um = [c * field_um / images["truth"].shape[-1] for c in corner]
    figure, axes = panels((12.5, 5.8), (1, 1))
    for at, name in enumerate(PANELS):
        for axis in axes[:, at]:
            axis.imshow(images[name], cmap="inferno", vmin=0, vmax=brightest(images, name), extent=(0, field_um, field_um, 0))
        axes[0, at].add_patch(Rectangle((corner_um[1], corner_um[0]), ZOOM_UM, ZOOM_UM, fill=False, color=ACCENT, lw=1.2))
        axes[1, at].set(xlim=(corner_um[1], corner_um[1] + ZOOM_UM), ylim=(corner_um[0] + ZOOM_UM, corner_um[0]))
        captioned(axes[1, at], scores.get(name))
    scale_bar(axes[0, 0], 5.0)
    scale_bar(axes[1, 0], 1.0)
    save_small(figure, path)


def draw_stack(images: Images, scores: Scores, spacing_um: Sequence[float], path: Path) -> None:
    """Draw the panels of a stack into a PNG: the middle plane, and below it the section along z through its row with most structure.

    Parameters
    ----------
    images, scores, path
        As in `draw`.
    spacing_um
        Spacing of the raw grid along z and laterally, um.
    """
    z_um, pixel_um = spacing_um
    planes, _, width = images["noisy"].shape
    field_um, depth_um = pixel_um * width, z_um * planes
    detail = np.abs(np.gradient(images["truth"][planes // 2].astype(float), axis=0)).sum(1)
    border = len(detail) // 8
    row = border + int(np.argmax(detail[border:-border]))
    figure, axes = panels((12.5, 2.45 * (1 + depth_um / field_um) / 0.865), (1, depth_um / field_um))
    for at, name in enumerate(PANELS):
        image, top = images[name], brightest(images, name)
        here = row * image.shape[1] // len(detail)
        shown = {"cmap": "inferno", "vmin": 0, "vmax": top, "aspect": "auto"}
        axes[0, at].imshow(image[planes // 2], extent=(0, field_um, field_um, 0), **shown)
        axes[1, at].imshow(image[:, here], extent=(0, field_um, depth_um, 0), **shown)
        axes[0, at].axhline(row / len(detail) * field_um, color=ACCENT, lw=0.8, ls=":")
        captioned(axes[1, at], scores.get(name))
    scale_bar(axes[0, 0], 2.0)
    scale_bar(axes[1, 0], 2.0)
    save_small(figure, path)


def panels(size_inch: tuple[float, float], heights: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Two rows of panels with the titles above."""
    figure = Figure(figsize=size_inch, dpi=100, facecolor=PAPER)
    place = {"wspace": 0.02, "hspace": 0.02, "left": 0.005, "right": 0.995, "top": 0.94, "bottom": 0.075, "height_ratios": heights}
    axes = figure.subplots(2, len(PANELS), gridspec_kw=place)
    for axis, title in zip(axes[0], TITLES, strict=True):
        axis.set_title(title, color=INK, fontsize=13, pad=6)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def brightest(images: Images, name: str) -> float:
    """Top of the intensity scale of an image: that of the noise-free one on its grid."""
    return float(np.percentile(images["clean" if name in ("noisy", "denoised") else "truth"], BRIGHTEST_PERCENTILE))


def captioned(axis: Axes, scores: Mapping[str, Any] | None) -> None:
    axis.text(0.5, -0.05, caption(scores), color=INK, fontsize=10.5, ha="center", va="top", transform=axis.transAxes)


def busiest_corner(truth: np.ndarray, n: int) -> tuple[int, int]:
    """Upper left corner of the `n` x `n` window with most structure, away from the border."""
    detail = np.hypot(*np.gradient(truth))
    total = np.pad(detail, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    window = total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n]
    border = n // 4
    y, x = np.unravel_index(np.argmax(window[border:-border, border:-border]), np.subtract(window.shape, 2 * border))
    return int(y) + border, int(x) + border


def caption(scores: Mapping[str, Any] | None) -> str:
    return f"psnr {scores['psnr']:.1f} dB   ssim {scores['ssim']:.2f}" if scores else ""


def scale_bar(axis: Axes, length_um: float) -> None:
    """A bar in the lower left corner of what the axis shows."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    wide, high = right - left, bottom - top
    x, y = left + 0.05 * wide, bottom - 0.06 * high
    axis.add_patch(Rectangle((x, y), length_um, 0.015 * high, color="white"))
    axis.text(x, y - 0.02 * high, f"{length_um:g} µm", color="white", fontsize=9.5, va="bottom")


def save_small(figure: Figure, path: Path) -> None:
    """PNG with a palette, which is enough for the colour map and makes the file small."""
    from PIL import Image

    figure.savefig(path, facecolor=figure.get_facecolor())
    with Image.open(path) as drawn:
        small = drawn.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
