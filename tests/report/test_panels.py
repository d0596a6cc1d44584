"""Images as a page shows them: the same places, true scales, small files."""

import imagecodecs
import numpy as np
import pytest

from zsdeconv.image import Image
from zsdeconv.report.page.panels import CLOSEUP_PX, MAX_HEIGHT_RATIO, MAX_SECTION_HEIGHT_PX, MAX_SIDE_PX, WORDS, Gallery, make_gallery
from zsdeconv.report.page.thumbnails import Thumbnail, bar_length_um


def pixels(view: Thumbnail) -> np.ndarray:
    return np.asarray(imagecodecs.png_decode(view.png))


def image(data: np.ndarray, axes: str, um: float = 0.1, z_um: float = 0.3, offset: float | None = 0.0) -> Image:
    return Image(data, axes, {axis: z_um if axis == "Z" else um for axis in axes if axis in "ZYX"}, offset)


def speckled(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 10.0, shape)


def with_spot(shape: tuple[int, int], y: int, x: int) -> np.ndarray:
    """A chessboard of 10 x 10 pixels around (y, x) in the dark."""
    data = np.zeros(shape)
    data[y - 5 : y + 5, x - 5 : x + 5] = 100 * (np.indices((10, 10)).sum(0) % 2)
    return data


def only(gallery: Gallery) -> Thumbnail:
    return gallery.panels[0].whole


def test_scale_bar_is_as_long_as_it_says() -> None:
    """50 nm pixels, 300 of them: 15 um, of which three tenths hold 2 um, or 40 pixels."""
    view = only(make_gallery({"raw": image(speckled((200, 300)), "YX", um=0.05)}))
    assert view.bar_um == 2.0
    assert view.bar_px == pytest.approx(40.0)


def test_scale_bar_of_a_reduced_view_counts_the_pixels_of_the_view() -> None:
    view = only(make_gallery({"raw": image(speckled((500, 1000)), "YX", um=0.05)}))
    assert view.reduced == 3 and view.um_per_px == pytest.approx(0.15)
    assert view.bar_px * 0.15 == pytest.approx(view.bar_um)
    assert view.bar_px < 0.3 * view.width_px


@pytest.mark.parametrize("width_um", [0.07, 1.0, 3.3, 16.0, 999.0, 123456.0])
def test_scale_bars_are_between_a_tenth_and_three_tenths_of_the_width(width_um: float) -> None:
    """The steps 1, 2, 5 are at most a factor 2.5 apart: 0.3 / 2.5 = 0.12."""
    assert 0.119 * width_um < bar_length_um(width_um) <= 0.3001 * width_um


def test_no_pixel_size_no_bar() -> None:
    view = only(make_gallery({"raw": Image(speckled((40, 50)), "YX")}))
    assert view.bar_um is None and view.bar_px == 0


def test_grey_is_linear_between_the_labels() -> None:
    ramp = np.tile(np.linspace(0.0, 255.0, 256), (64, 1)) + 100.0
    panel = make_gallery({"raw": image(ramp, "YX", offset=100.0)}).panels[0]
    # one pixel in a thousand at either end is cut off: a quarter of a column of 256
    assert panel.low_adu == pytest.approx(0.0, abs=1.0) and panel.high_adu == pytest.approx(255.0, abs=1.0)
    assert panel.range_words == ("0", "255")
    row = pixels(panel.whole)[10]
    assert np.abs(row - (ramp[10] - 100)).max() <= 1.5  # half a step of 8 bits and the cut ends


def test_unknown_offset_is_mentioned() -> None:
    known, unknown = (make_gallery({"raw": image(speckled((40, 50)), "YX", offset=b)}).panels[0] for b in (0.0, None))
    assert "offset" not in known.explanation and "offset" in unknown.explanation


def test_an_image_without_contrast_is_shown() -> None:
    panel = make_gallery({"raw": image(np.full((40, 50), 7.0), "YX")}).panels[0]
    assert panel.high_adu > panel.low_adu


def test_all_views_look_at_the_same_place_on_both_grids() -> None:
    raw = with_spot((300, 420), 211, 97)
    fine = raw.repeat(2, 0).repeat(2, 1)
    gallery = make_gallery({"raw": image(raw, "YX"), "denoised": image(raw, "YX"), "deconvolved": image(fine, "YX", um=0.05)})
    first, last = gallery.panels[0].closeup, gallery.panels[2].closeup
    assert first.width_px == CLOSEUP_PX and last.width_px == 2 * CLOSEUP_PX
    assert np.array_equal(pixels(first).repeat(2, 0).repeat(2, 1), pixels(last))
    assert pixels(first).max() == 255, "the busiest place is the spot"
    assert first.bar_um == last.bar_um and last.bar_px == pytest.approx(2 * first.bar_px)


def test_the_frame_marks_the_closer_look() -> None:
    data = with_spot((240, 330), 70, 250)
    panel = make_gallery({"denoised": image(data, "YX")}).panels[0]
    assert panel.whole.box_px is not None
    x, y, width, height = (round(v) for v in panel.whole.box_px)
    assert np.array_equal(pixels(panel.whole)[y : y + height, x : x + width], pixels(panel.closeup))


def test_of_movies_the_middle_frame() -> None:
    movie = np.stack([np.full((40, 50), 10.0 * n) + speckled((40, 50)) / 100 for n in range(5)])
    gallery = make_gallery({"raw": image(movie, "TYX")})
    assert gallery.position == "frame 3 of 5"
    assert gallery.panels[0].low_adu == pytest.approx(20.0, abs=0.2)


def test_of_stacks_the_plane_with_most_contrast_and_a_section_in_proportion() -> None:
    stack = np.zeros((7, 60, 90))
    stack[4] = with_spot((60, 90), 25, 61)
    panel = (gallery := make_gallery({"denoised": image(stack, "ZYX", um=0.1, z_um=0.3)})).panels[0]
    assert gallery.position == "plane 5 of 7"
    assert panel.side is not None
    assert (panel.side.height_px, panel.side.width_px) == (21, 90), "7 planes of 0.3 um are 21 pixels of 0.1 um"
    lit = np.flatnonzero(pixels(panel.side).max(1))
    assert lit.tolist() == [12, 13, 14], "the fifth plane"


def test_raw_frames_are_averaged() -> None:
    clean = speckled((40, 50))
    stripes = np.stack([clean * (1 + np.cos(2 * np.pi * n / 3)) for n in range(3)])
    striped, plain = (make_gallery({"raw": picture}).panels[0] for picture in (image(stripes, "PYX"), image(clean, "YX")))
    assert "3 raw frames" in striped.explanation
    assert np.abs(pixels(striped.whole).astype(int) - pixels(plain.whole)).max() <= 1  # rounding of single precision


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 9), (2000, 150), (150, 2000), (1500, 1700)])
def test_views_of_any_shape_are_small(shape: tuple[int, int]) -> None:
    gallery = make_gallery({name: image(speckled(shape), "YX") for name in WORDS})
    for panel in gallery.panels:
        for view in (panel.whole, panel.closeup):
            assert 1 <= view.width_px <= MAX_SIDE_PX and 1 <= view.height_px <= min(MAX_SIDE_PX, MAX_HEIGHT_RATIO * view.width_px + 1)
            assert pixels(view).shape == (view.height_px, view.width_px)


def test_sections_of_deep_stacks_are_small() -> None:
    side = make_gallery({"raw": image(speckled((300, 20, 500)), "ZYX", um=0.1, z_um=0.5)}).panels[0].side
    assert side is not None and side.width_px <= MAX_SIDE_PX and side.height_px <= MAX_SECTION_HEIGHT_PX
