"""Photometry of the deconvolved image."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from zsdeconv.report.checks.brightness import examine_flux, flux_section


def denoised() -> np.ndarray:
    return np.random.default_rng(3).gamma(1.5, 20.0, (41, 53))


@pytest.mark.parametrize(("slope", "level"), [(1.0, "ok"), (1.015, "ok"), (0.97, "warn"), (1.08, "warn"), (0.8, "fail"), (1.3, "fail")])
def test_slope_decides(slope: float, level: str) -> None:
    found = examine_flux(slope * denoised(), denoised())
    assert found.slope == pytest.approx(slope, rel=1e-9)
    assert flux_section(found).level == level
    assert f"{100 * slope:.1f} %" in flux_section(found).findings[0].message


def test_light_in_dark_places_is_noticed() -> None:
    y_bar = denoised()
    found = examine_flux(y_bar + 0.05 * np.percentile(y_bar, 99.8), y_bar)
    assert found.slope == pytest.approx(1.0) and found.offset_frac == pytest.approx(0.05)
    section = flux_section(found)
    assert [finding.level for finding in section.findings] == ["ok", "warn"] and "+5.0 %" in section.findings[1].message


def test_scatter_is_measured_and_drawn_over_the_right_axes() -> None:
    y_bar = denoised()
    noise = np.random.default_rng(4).normal(0, 2.0, y_bar.shape)
    found = examine_flux(y_bar + noise, y_bar)
    assert found.deviation_adu == pytest.approx(noise.std())
    dim = examine_flux(0.5 * y_bar, y_bar)
    above, below = np.tril(dim.counts, -1).sum(), np.triu(dim.counts, 1).sum()
    assert above == 0 < below, "rows are the deconvolved image, which is the dimmer one here"
    figure = Figure()
    flux_section(found).pictures[0].draw(figure)
    assert "denoised" in figure.axes[0].get_xlabel() and "ADU" in figure.axes[0].get_ylabel()


def test_a_few_bright_pixels_do_not_hide_the_others() -> None:
    y_bar = denoised()
    y_bar[0, 0] = 1e6
    assert examine_flux(y_bar, y_bar).edges_adu[-1] < 1e4


def test_without_contrast_there_is_nothing_to_compare() -> None:
    found = examine_flux(denoised(), np.ones((41, 53)))
    assert found.slope is None
    section = flux_section(found)
    assert section.level == "warn" and section.numbers["slope"] is None
    section.pictures[0].draw(Figure())
    flux_section(examine_flux(np.zeros((4, 5)), np.zeros((4, 5)))).pictures[0].draw(Figure())
