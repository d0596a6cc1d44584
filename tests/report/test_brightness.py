"""Photometry of the deconvolved image."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from zsdeconv.report.checks.brightness import measure, section


def denoised() -> np.ndarray:
    return np.random.default_rng(3).gamma(1.5, 20.0, (41, 53))


@pytest.mark.parametrize(("slope", "level"), [(1.0, "ok"), (1.015, "ok"), (0.97, "warn"), (1.08, "warn"), (0.8, "fail"), (1.3, "fail")])
def test_slope_decides(slope: float, level: str) -> None:
    result = measure(slope * denoised(), denoised())
    assert result.slope == pytest.approx(slope, rel=1e-9)
    assert section(result).level == level
    assert f"{100 * slope:.1f} %" in section(result).findings[0].message


def test_light_in_dark_places_is_noticed() -> None:
    y_bar = denoised()
    result = measure(y_bar + 0.05 * np.percentile(y_bar, 99.8), y_bar)
    assert result.slope == pytest.approx(1.0) and result.offset_frac == pytest.approx(0.05)
    judged = section(result)
    assert [finding.level for finding in judged.findings] == ["ok", "warn"] and "+5.0 %" in judged.findings[1].message


def test_scatter_is_measured_and_drawn_over_the_right_axes() -> None:
    y_bar = denoised()
    noise = np.random.default_rng(4).normal(0, 2.0, y_bar.shape)
    result = measure(y_bar + noise, y_bar)
    assert result.deviation_adu == pytest.approx(noise.std())
    dim = measure(0.5 * y_bar, y_bar)
    above, below = np.tril(dim.counts, -1).sum(), np.triu(dim.counts, 1).sum()
    assert above == 0 < below, "rows are the deconvolved image, which is the dimmer one here"
    figure = Figure()
    section(result).figures[0].draw(figure)
    assert "denoised" in figure.axes[0].get_xlabel() and "ADU" in figure.axes[0].get_ylabel()


def test_a_few_bright_pixels_do_not_hide_the_others() -> None:
    y_bar = denoised()
    y_bar[0, 0] = 1e6
    assert measure(y_bar, y_bar).edges_adu[-1] < 1e4


def test_without_contrast_there_is_nothing_to_compare() -> None:
    result = measure(denoised(), np.ones((41, 53)))
    assert result.slope is None
    judged = section(result)
    assert judged.level == "not_checked" and judged.numbers["slope"] is None
    judged.figures[0].draw(Figure())
    section(measure(np.zeros((4, 5)), np.zeros((4, 5)))).figures[0].draw(Figure())
