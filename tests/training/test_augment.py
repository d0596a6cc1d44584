"""Views of objects: where they look, what they keep, and that they see all of an object from all sides."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zsdeconv.training.augment import ZOOM, ObjectAugmenter, sampling_grid


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seen(x: Tensor, n: int, angle: float, zoom: float, *, mirrored: bool = False, centre: tuple[float, float] = (0.5, 0.5)) -> Tensor:
    grid = sampling_grid(x.shape, n, angle, zoom, mirrored=mirrored, centre=centre)
    return F.grid_sample(x[None, None], grid, mode="bicubic", padding_mode="reflection", align_corners=False)[0, 0]


def test_an_upright_view_is_a_crop_anywhere() -> None:
    x = torch.rand(21, 34, generator=generator())
    for i, j in ((0, 0), (10, 3), (14, 27)):
        view = seen(x, 7, 0.0, 1.0, centre=(i / 14, j / 27))
        torch.testing.assert_close(view, x[i : i + 7, j : j + 7], atol=1e-5, rtol=0)  # float32 places, 1e-6 of the width


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_quarter_turn_moves_whole_pixels(mirrored: bool) -> None:
    x = torch.rand(16, 12, generator=generator())
    view = seen(x, 8, math.pi / 2, 1.0, mirrored=mirrored)
    square = x[4:12, 2:10]
    candidates = [torch.rot90(square.flip(-1) if mirrored else square, k) for k in (1, 3)]
    assert min(float((view - c).abs().max()) for c in candidates) < 1e-5


@pytest.mark.parametrize(("angle", "zoom"), [(0.4, 0.7), (2.5, 1.1)])
def test_distances_are_kept_up_to_the_zoom(angle: float, zoom: float) -> None:
    """Two blobs 20 pixels apart, on an image that is not square: a wrong aspect ratio would change their distance with the angle."""
    y, x = np.mgrid[:80, :120]
    places = ((40.0, 50.0), (40.0 + 20 * math.sin(0.9), 50.0 + 20 * math.cos(0.9)))
    blobs = [np.exp(-((y - a) ** 2 + (x - b) ** 2) / 18) for a, b in places]
    centres = []
    for blob in blobs:
        view = seen(torch.from_numpy(blob).float(), 61, angle, zoom).double().numpy()
        centres.append([(axis * view).sum() / view.sum() for axis in np.mgrid[:61, :61]])
    assert math.dist(*centres) == pytest.approx(20 * zoom, rel=0.01)  # bicubic interpolation of blobs 3 pixels wide


def test_all_of_an_object_is_seen_at_all_sizes() -> None:
    x = torch.zeros(40, 50)
    x[:20, :25], x[:20, 25:], x[20:, :25], x[20:, 25:] = 1, 10, 100, 1000
    views = ObjectAugmenter([x[None]], view_px=(8, 8), batch=600)(generator(1))
    flat = views[views.amax((1, 2, 3)) < 1.001 * views.amin((1, 2, 3))].mean((1, 2, 3))  # those that see one quarter only
    quarter = (flat * (ZOOM[0] * ZOOM[1]) ** 0.5).log10().round()
    zoom = 10**quarter / flat
    assert set(quarter.tolist()) == {0.0, 1.0, 2.0, 3.0}
    # uniform between the limits: of over 200 views some lie in each outer tenth but for a chance of 1e-9
    assert len(flat) > 200 and ZOOM[0] <= float(zoom.min()) + 1e-4 and float(zoom.max()) - 1e-4 <= ZOOM[1]
    assert float(zoom.min()) < ZOOM[0] + 0.04 and float(zoom.max()) > ZOOM[1] - 0.04


def test_a_smaller_view_of_a_line_has_an_image_as_bright() -> None:
    x = torch.zeros(1, 64, 64)
    x[0, :, 30:33] = 1.0
    sums = {zoom: float(seen(x[0], 33, 0.0, zoom).div(zoom).sum(1).mean()) for zoom in (0.7, 1.0, 1.1)}
    assert sums[0.7] == pytest.approx(sums[1.0], rel=0.05) and sums[1.1] == pytest.approx(sums[1.0], rel=0.05)  # bicubic edges


def test_planes_of_a_stack_are_seen_alike_and_light_is_not_negative() -> None:
    plane = (torch.rand(30, 31, generator=generator(2)) > 0.9).float()
    views = ObjectAugmenter([torch.stack([plane, 2 * plane, plane])[None]], view_px=(3, 12, 12), batch=5)(generator())
    assert views.shape == (5, 1, 3, 12, 12) and float(views.min()) >= 0
    torch.testing.assert_close(views[:, :, 1], 2 * views[:, :, 0])
    torch.testing.assert_close(views[:, :, 2], views[:, :, 0])


def test_parts_of_an_object_are_seen_alike() -> None:
    x = torch.rand(5, 30, 31, generator=generator(2))
    views = ObjectAugmenter([torch.stack((x, 3 * x))], view_px=(2, 12, 12), batch=4)(generator())
    assert views.shape == (4, 2, 2, 12, 12)
    torch.testing.assert_close(views[:, 1], 3 * views[:, 0])


def test_views_of_a_stack_show_any_of_its_planes_in_order() -> None:
    stack = torch.arange(7.0)[:, None, None].expand(7, 20, 22).clone()
    views = ObjectAugmenter([stack[None]], view_px=(3, 8, 8), batch=200)(generator())
    steps = views.mean((1, 3, 4)) / (views[:, 0, 1].mean((1, 2)) - views[:, 0, 0].mean((1, 2)))[:, None]  # the zoom changes the brightness
    first = steps.round().long()[:, 0]
    assert set(first.tolist()) == set(range(5))
    torch.testing.assert_close(steps, first[:, None] + torch.arange(3.0), atol=1e-3, rtol=0)


def test_objects_are_drawn_by_their_share_of_all_pixels_and_may_be_smaller_than_a_view() -> None:
    views = ObjectAugmenter([torch.zeros(1, 10, 10), torch.ones(1, 10, 30)], view_px=(16, 16), batch=1000)(generator(1))
    assert 690 < int((views.amin((1, 2, 3)) > 0.5).sum()) < 810  # 750 +- 14


def test_the_generator_decides_everything() -> None:
    views = ObjectAugmenter([torch.rand(1, 20, 20, generator=generator())], view_px=(8, 8), batch=4)
    assert torch.equal(views(generator(2)), views(generator(2)))
    assert not torch.equal(views(generator(2)), views(generator(3)))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_upright_in_a_skewed_stack_stays_upright(seed: int) -> None:
    """Columns along the detection axis, turned by any angle and zoomed: each plane of a view is the first one, as many rows farther."""
    generator, shift = torch.Generator().manual_seed(seed), 2
    noise = torch.randn(1, 1, 160, 150, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise, 9, 1, 4)[0, 0]
    smooth = torch.nn.functional.avg_pool2d(smooth[None, None], 9, 1, 4)[0, 0] + 1.0
    skewed = torch.stack([smooth[8 + shift * k : 148 + shift * k] for k in range(5)])[None]
    view = ObjectAugmenter([skewed], (5, 32, 32), 1, float(shift))(generator)[0, 0]
    for k in range(1, 5):
        moved, first = view[k, : 32 - shift * k], view[0, shift * k :]
        assert float((moved - first).abs().max()) < 0.03 * float(first.amax() - first.amin())  # bicubic interpolation
    plain = ObjectAugmenter([skewed], (5, 32, 32), 1)(torch.Generator().manual_seed(seed))[0, 0]
    assert plain.shape == view.shape
