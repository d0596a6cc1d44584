"""Which part of a large result is shown."""

import pytest

from zsdeconv.errors import ConfigError
from zsdeconv.viewer.parts import MIN_PLANES, MIN_TIMES, choose_part, part_words

SIZES = {"T": 40, "Z": 30, "Y": 100, "X": 80}


def test_all_is_shown_where_it_fits() -> None:
    part = choose_part(SIZES, 6, max_pixels=40 * 30 * 100 * 80 * 6)
    assert part.pixels == 40 * 30 * 100 * 80 and part_words(part, SIZES) == []


def test_times_are_left_out_first_then_planes_then_the_border() -> None:
    half = choose_part(SIZES, 6, max_pixels=20 * 30 * 100 * 80 * 6)
    assert len(half.times) == 20 and half.times[0] == 0 and half.times[-1] == 39
    assert len(half.planes) == 30 and (half.height, half.width) == (100, 80)
    fewer = choose_part(SIZES, 6, max_pixels=MIN_TIMES * 20 * 100 * 80 * 6)
    assert len(fewer.times) == MIN_TIMES and len(fewer.planes) == 20
    least = choose_part(SIZES, 6, max_pixels=MIN_TIMES * MIN_PLANES * 50 * 40 * 6)
    assert (len(least.times), len(least.planes)) == (MIN_TIMES, MIN_PLANES)
    assert (least.rows, least.columns) == ((25, 75), (20, 60)), "its middle"


@pytest.mark.parametrize("limit", [10_000, 1_000_000, 30_000_000])
def test_no_more_pixels_than_the_limit(limit: int) -> None:
    sizes = {"T": 1, "Z": 1, "Y": 3000, "X": 2000}
    assert choose_part(sizes, 10, max_pixels=limit).pixels * 10 <= limit


def test_a_wanted_part() -> None:
    part = choose_part(SIZES, 6, "T5:7,Z3:4,10:30,0:80", max_pixels=10**9)
    assert part.times == [5, 6] and part.planes == [3] and part.rows == (10, 30) and part.columns == (0, 80)
    assert part_words(part, SIZES) == ["2 of 40 times", "1 of 30 planes", "20 x 80 of 100 x 80 pixels, from row 10 and column 0 on"]
    with pytest.raises(ConfigError, match=r"`crop` 50:200 along Y: it has 0:100; give a smaller `crop`"):
        choose_part(SIZES, 6, "50:200,0:80")
