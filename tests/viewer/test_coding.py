"""Codes of a page: the error stays below its bound, dim structure keeps its shades, and pixels without data stay so."""

import numpy as np
import pytest

from zsdeconv.viewer.coding import TOP, Coding, packed, unpacked


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-37.5, 61234.0), (99.0, 99.5)])
def test_the_error_is_at_most_half_a_step(low: float, high: float) -> None:
    coding, rng = Coding(low, high), np.random.default_rng(1)
    values = low + (high - low) * np.concatenate([rng.random(5000) ** 3, [0.0, 1.0]])
    off = np.abs(coding.values(coding.codes(values)) - values)
    bound = np.array([coding.max_error(value) for value in values])
    assert (off <= bound * (1 + 1e-9)).all()
    assert (off / bound).max() > 0.9, "the bound is no larger than it must be"
    assert bound.max() < 2.5e-4 * (high - low)


def test_dim_structure_keeps_its_shades() -> None:
    """The lowest hundredth of the range has a tenth of all codes, where 8 bits without a root have two."""
    codes = Coding(0.0, 1000.0).codes(np.linspace(0, 10, 10000))
    assert len(np.unique(codes)) > 400


def test_pixels_without_data_and_beyond_the_range() -> None:
    coding = Coding(-5.0, 20.0)
    codes = coding.codes(np.array([[np.nan, np.inf, -np.inf, -5.0, 20.0, 99.0]]))
    assert codes.tolist() == [[0, 0, 0, 1, TOP, TOP]]
    assert np.isnan(coding.values(codes)[0, :3]).all()


def test_a_plane_comes_back_from_its_text() -> None:
    codes = np.random.default_rng(2).integers(0, TOP + 1, (17, 23)).astype(np.uint16)
    text = packed(codes)
    assert text.isascii() and "<" not in text
    assert (unpacked(text, (17, 23)) == codes).all()
