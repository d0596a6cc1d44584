"""Tiles as a plan: ownership, halo, alignment, and stitching."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zsdeconv.prediction.tiling import Tile, plan_tiles


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Shape, tile, halo, stride and border of an image of one to three axes; a tile is no smaller than the stride."""
    rank = draw(st.integers(1, 3))
    axes = []
    for _ in range(rank):
        stride = draw(st.sampled_from([1, 2, 3, 4, 8]))
        axes.append((draw(st.integers(1, 40)), draw(st.integers(stride, 30)), draw(st.integers(0, 20)), stride, draw(st.integers(0, 20))))
    shape, tile, halo, stride, border = (list(column) for column in zip(*axes, strict=True))
    return shape, tile, halo, stride, border


fast = settings(max_examples=150, deadline=None, derandomize=True)


@fast
@given(plans())
def test_each_pixel_is_owned_by_exactly_one_tile(plan) -> None:
    owners = np.zeros(plan[0], int)
    for tile in plan_tiles(*plan):
        part = owners[tile.write_slices([1] * len(plan[0]))]
        assert part.size > 0 and all(n <= most for n, most in zip(part.shape, plan[1], strict=True))
        part += 1
    assert (owners == 1).all()


@fast
@given(plans())
def test_tiles_read_the_halo_and_begin_where_the_network_pools(plan) -> None:
    shape, _, halo, stride, border = plan
    for piece in plan_tiles(*plan):
        for (first, last), (start, stop), size, reach, step, more in zip(piece.read, piece.write, shape, halo, stride, border, strict=True):
            assert -more <= first <= start < stop <= last <= size + more
            assert first == -more or start - first >= reach
            assert last == size + more or last - stop >= reach
            assert (first + more) % step == 0
            # nothing is read in vain
            assert stop == size or last - stop <= reach
            assert start == 0 or start - first < reach + step


@fast
@given(plans(), st.sampled_from([1, 2, 3]))
def test_stitching_after_the_identity_is_the_identity(plan, factor: int) -> None:
    shape, *_, border = plan
    factors = [1, factor, 2][-len(shape) :]
    image = np.arange(np.prod(shape)).reshape(shape)
    fine = image
    for axis, f in enumerate(factors):
        fine = fine.repeat(f, axis)
    stitched = np.full(fine.shape, -1)
    for tile in plan_tiles(*plan):
        part = np.pad(image, [(n, n) for n in border])[tile.read_slices(border)]
        for axis, f in enumerate(factors):
            part = part.repeat(f, axis)
        stitched[tile.write_slices(factors)] = part[tile.trust_slices(factors)]
    assert np.array_equal(stitched, fine)


@fast
@given(plans())
def test_whatever_looks_no_farther_than_the_halo_sees_no_seam(plan) -> None:
    """Pooling in blocks of the stride, then a sum over the halo's width: tiles give what the whole gives."""
    shape, tile, _, stride, _ = ([values[0]] for values in plan)
    halo = [2 * stride[0] + 1]
    image = np.random.default_rng(0).integers(0, 1000, shape[0])

    def look(x: np.ndarray) -> np.ndarray:
        blocks = np.pad(x, (0, -len(x) % stride[0]), mode="edge").reshape(-1, stride[0]).sum(1).repeat(stride[0])[: len(x)]
        reach = stride[0] + 1
        return np.convolve(np.pad(blocks, reach, mode="edge"), np.ones(2 * reach + 1, int), mode="valid")

    stitched = np.full(shape, -1)
    for piece in plan_tiles(shape, tile, halo, stride, [0]):
        stitched[piece.write_slices([1])] = look(image[piece.read_slices([0])])[piece.trust_slices([1])]
    assert np.array_equal(stitched, look(image))


def test_one_tile_when_the_image_fits() -> None:
    assert list(plan_tiles([17, 33], [64, 64], [8, 8], [8, 8], [4, 0])) == [Tile(((-4, 21), (0, 33)), ((0, 17), (0, 33)))]
