"""Scans at an angle: where deskewing puts things, what it does to numbers, and which stacks it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zsdeconv as zs
from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import Image, StageScan, deskewed, scan_of
from zsdeconv.image.scan import refuse_deskewed, refuse_other_scan
from zsdeconv.io import read, write

SCAN = StageScan(31.5, 0.4)
PIXEL_UM = 0.104
BEADS_UM = np.array([(0.9, 2.31, 1.12), (1.7, 3.07, 2.03), (2.45, 3.82, 0.77)])
"""Depths, places on the camera along y when they are in focus, and along x, of beads; none on a pixel or a plane."""
SIGMA_UM = np.array([0.3, 0.13, 0.13])


def places_of_beads_um(scan: StageScan) -> np.ndarray:
    """Places of the beads in the sample: at depth z the stage has gone `z / tan(angle)` along y."""
    gone = (-1 if scan.reverse else 1) * BEADS_UM[:, 0] / np.tan(np.radians(scan.angle_deg))
    return BEADS_UM + np.stack([0 * gone, gone, 0 * gone], 1)


def skewed_beads(scan: StageScan, planes: int = 17, rows: int = 61, columns: int = 31, finer: int = 1) -> Image:
    """Gaussian beads, computed at the place in the sample that each pixel of each plane shows: `z = k s sin`, `y = y_camera + k s cos`.

    Pixels `finer` times smaller lie in those of the camera, whose first one has its centre at 0.
    """
    k, y, x = np.meshgrid(np.arange(planes), np.arange(rows * finer), np.arange(columns * finer), indexing="ij")
    y_um, x_um = (((n + 0.5) / finer - 0.5) * PIXEL_UM for n in (y, x))
    angle, sign = np.radians(scan.angle_deg), -1 if scan.reverse else 1
    places = np.stack([k * scan.step_um * np.sin(angle), y_um + sign * k * scan.step_um * np.cos(angle), x_um])
    shape = SIGMA_UM[:, None, None, None]
    light = np.sum([np.exp(-0.5 * (((places - bead[:, None, None, None]) / shape) ** 2).sum(0)) for bead in places_of_beads_um(scan)], 0)
    return Image(light.astype(np.float32), "ZYX", {"Z": scan.step_um} | dict.fromkeys("YX", PIXEL_UM / finer))


def off_px(upright: Image, scan: StageScan) -> np.ndarray:
    """Distances of the centres of mass of the beads from their places, in planes and pixels of the camera."""
    finer = round(PIXEL_UM / upright.spacing_um["Y"])
    first = (0.5 / finer - 0.5) * PIXEL_UM
    um = np.array([upright.spacing_um[axis] for axis in "ZYX"])
    places = np.stack(np.meshgrid(*(step * np.arange(n) for step, n in zip(um, upright.shape, strict=True)), indexing="ij"))
    places += np.array([0.0, first + upright.metadata["deskewed"]["origin_um"]["Y"], first])[:, None, None, None]
    found = []
    for bead in places_of_beads_um(scan):
        inside = (np.abs(places - bead[:, None, None, None]) < 3 * SIGMA_UM[:, None, None, None]).all(0)
        found.append([(place[inside] * upright.data[inside]).sum() / upright.data[inside].sum() for place in places])
    return (np.array(found) - places_of_beads_um(scan)) / [scan.depth_um, PIXEL_UM, PIXEL_UM]


@pytest.mark.parametrize("reverse", [False, True])
def test_beads_are_at_their_places_in_the_sample(reverse: bool) -> None:
    """To a tenth of a pixel, of which the windows of the centres of mass, which end between pixels, take the most."""
    scan = replace(SCAN, reverse=reverse)
    stack = skewed_beads(scan)
    upright = deskewed(stack, scan)
    assert (upright.metadata["deskewed"]["origin_um"]["Y"] < 0) == reverse
    assert np.abs(off_px(upright, scan)).max() < 0.1
    assert upright.spacing_um["Z"] == pytest.approx(0.4 * np.sin(np.radians(31.5)))
    wrong = deskewed(stack, replace(scan, reverse=not reverse))
    assert np.nanmax(np.nansum(upright.data, 0)) > 2 * np.nanmax(np.nansum(wrong.data, 0))  # planes of a bead lie above each other


def test_the_sum_of_the_light_is_kept() -> None:
    stack = skewed_beads(SCAN)
    stack = replace(stack, data=stack.data * np.hanning(63)[1:-1, None].astype(np.float32) ** 2)  # none of it at the ends of the planes
    upright = deskewed(stack, SCAN)
    # Each plane by itself; the prefilter of the spline reaches beyond the light by its decay of 0.27 a row.
    assert np.nansum(upright.data, (1, 2)) == pytest.approx(stack.data.sum((1, 2)), rel=1e-4)
    assert np.nanmin(upright.data) > -0.05 * stack.data.max()


def test_pixels_that_no_plane_has_seen_are_nan_and_no_others() -> None:
    scan = StageScan(30.0, 0.5)
    stack = Image(np.random.default_rng(0).normal(10, 1, (5, 23, 11)), "ZYX", {"Y": 0.1, "X": 0.1})
    upright = deskewed(stack, scan)
    assert upright.sizes == {"Z": 5, "Y": 23 + 18, "X": 11}  # 4 x 4.33 rows
    assert np.isfinite(upright.data).sum(1).tolist() == [[23] * 11] * 5
    first = [int(np.isfinite(plane[:, 0]).argmax()) for plane in upright.data]
    assert first == [round(4.330127 * k) for k in range(5)]


def test_pixels_without_data_take_their_neighbours_along_y_with_them() -> None:
    data = np.ones((4, 20, 7), np.float32)
    data[2, 9, 3] = np.nan
    upright = deskewed(Image(data, "ZYX", {"Y": 0.1, "X": 0.1}), StageScan(40.0, 0.31))
    lost = np.isnan(upright.data[2]).sum(0)
    assert lost[3] - lost[0] in (3, 4) and set(lost[[0, 1, 2, 4, 5, 6]]) == {lost[0]}
    assert np.nanmax(np.abs(upright.data - 1)) < 0.3  # zeros in the place of one pixel ring beyond the lost ones


def test_an_uncertainty_lies_between_those_of_two_rows() -> None:
    """A cubic spline would make some negative."""
    sigma = np.random.default_rng(1).exponential(1.0, (6, 40, 9)).astype(np.float32)
    image = Image(sigma, "ZYX", {"Y": 0.1, "X": 0.1}, metadata={"kind": "uncertainty"})
    scan = StageScan(35.0, 0.37)
    upright = deskewed(image, scan)
    for k, plane in enumerate(upright.data):
        start = k * scan.shift_um / 0.1
        rows = np.arange(len(plane)) - start
        expected = np.stack([np.interp(rows, np.arange(40), column) for column in sigma[k].T], 1)
        inside = (rows >= 0) & (rows <= 39)
        assert np.abs(plane - expected)[inside].max() < 1e-5
    assert np.nanmin(deskewed(replace(image, metadata={}), scan).data) < 0


def test_a_fine_image_lies_on_its_coarse_one() -> None:
    """Twice as fine, it has twice as many rows, and begins at the same place."""
    for scan in (SCAN, replace(SCAN, reverse=True)):
        raw, fine = deskewed(skewed_beads(scan), scan), deskewed(skewed_beads(scan, finer=2), scan, 2)
        assert fine.sizes["Y"] == 2 * raw.sizes["Y"]
        assert raw.metadata["deskewed"]["origin_um"]["Y"] == pytest.approx(fine.metadata["deskewed"]["origin_um"]["Y"])
        assert np.abs(off_px(fine, scan)).max() < 0.1


def test_movies_and_channels_are_deskewed_alike() -> None:
    stack = skewed_beads(SCAN, planes=6)
    movie = Image(np.stack([[stack.data, 2 * stack.data]] * 3), "TCZYX", stack.spacing_um, metadata={"channels": ["a", "b"]})
    upright, single = deskewed(movie, SCAN), deskewed(stack, SCAN)
    assert upright.axes == "TCZYX" and upright.metadata["channels"] == ["a", "b"]
    assert np.allclose(upright.data[1, 1], 2 * single.data, equal_nan=True)


def padded(stack: np.ndarray, per_plane: float, axis: int, fill: float) -> np.ndarray:
    """A stack as programs deskew it: whole rows, and one value beyond."""
    planes, starts = len(stack), np.round(np.abs(per_plane) * np.arange(len(stack))).astype(int)
    starts = starts[::-1] if per_plane < 0 else starts
    sizes = [*stack.shape]
    sizes[axis] += int(starts.max())
    made = np.full(sizes, fill)
    for k in range(planes):
        place = [slice(None)] * 2
        place[axis - 1] = slice(starts[k], starts[k] + stack.shape[axis])
        made[(k, *place)] = stack[k]
    return made


@pytest.mark.parametrize(("per_plane", "axis", "fill"), [(3.28, 1, 0.0), (-3.28, 1, 100.0), (1.4, 2, 0.0), (2.0, 1, np.nan)])
def test_deskewed_stacks_of_any_program_are_recognised(per_plane: float, axis: int, fill: float) -> None:
    stack = np.random.default_rng(2).poisson(20, (9, 40, 34)).astype(float)
    image = Image(padded(stack, per_plane, axis, fill), "ZYX", {"Y": 0.1, "X": 0.1}, metadata={"name": "cell.tif"})
    with pytest.raises(ImageError, match=r"cell.tif: its first plane is empty at .*deskewed already; give the raw stack, or leave out"):
        refuse_deskewed(image)
    with pytest.raises(ImageError, match="deskewed already"):
        deskewed(image, SCAN)


def test_other_empty_rows_are_no_deskewed_stack() -> None:
    """A frame that is dark at an end, or in the first plane alone, and a photon counter that sees few photons."""
    rng = np.random.default_rng(3)
    stack = rng.poisson(20, (9, 40, 34))
    for dark in ((slice(None), slice(0, 5)), (slice(0, 1), slice(30, None)), (slice(5, None), slice(0, 6))):
        other = stack.copy()
        other[dark] = 0
        refuse_deskewed(Image(other, "ZYX"))
    for seed in range(20):
        refuse_deskewed(Image(np.random.default_rng(seed).poisson(0.02, (9, 40, 34)), "ZYX"))


def test_a_deskewed_stack_says_so(tmp_path: Path) -> None:
    for name in ("upright.ome.tif", "upright.ome.zarr"):
        upright = zs.deskew(skewed_beads(replace(SCAN, reverse=True)), scan_angle_deg=31.5, scan_step_um=0.4, scan_reverse=True)
        again = read(write(tmp_path / name, upright))
        assert again.spacing_um == pytest.approx(upright.spacing_um)
        assert again.metadata["deskewed"] == upright.metadata["deskewed"]
        with pytest.raises(ImageError, match="it is deskewed already, according to the file"):
            zs.deskew(again, scan_angle_deg=31.5, scan_step_um=0.4)
        with pytest.raises(ImageError, match="it is deskewed already, according to the file"):
            zs.deskew(again)


def test_zarr_holds_the_place_of_the_first_row(tmp_path: Path) -> None:
    import json

    upright = deskewed(skewed_beads(replace(SCAN, reverse=True)), replace(SCAN, reverse=True))
    path = write(tmp_path / "upright.ome.zarr", upright)
    said = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    scale, translation = said["coordinateTransformations"]
    assert translation["translation"] == pytest.approx([0.0, -53 * PIXEL_UM, 0.0])  # 16 planes of 3.28 rows
    assert scale["scale"][0] == pytest.approx(SCAN.depth_um)


def test_a_skewed_file_says_how_it_was_scanned(tmp_path: Path) -> None:
    stack = skewed_beads(SCAN)
    path = write(tmp_path / "skewed.ome.tif", replace(stack, metadata={"scan": SCAN.noted(stack.spacing_um)}))
    assert StageScan.stated_by(read(path).metadata) == SCAN
    assert read(path).metadata["scan"]["affine_zyx_um"][1] == pytest.approx([SCAN.shift_um, PIXEL_UM, 0.0, 0.0])
    assert np.array_equal(zs.deskew(path).data, deskewed(stack, SCAN).data, equal_nan=True)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"scan_angle_deg": 31.5}, r"scan_angle_deg 31.5 without the step of the stage \(the planes are 0.4 um apart according"),
        ({"scan_step_um": 0.4}, "scan_step_um 0.4 without the angle of the scan; give scan_angle_deg too"),
        ({"scan_reverse": True}, "scan_reverse: no scan at an angle is known; give scan_angle_deg and scan_step_um too"),
        ({"scan_angle_deg": 0.0, "scan_step_um": 0.4}, "scan_angle_deg 0: the angle .* between 0 and 90 degrees; give"),
        ({"scan_angle_deg": 90.0, "scan_step_um": 0.4}, "scan_angle_deg 90: "),
        ({"scan_angle_deg": 148.5, "scan_step_um": 0.4}, "scan_angle_deg 148.5: .* give 180 degrees minus the angle"),
        ({"scan_angle_deg": -31.5, "scan_step_um": 0.4}, "scan_angle_deg -31.5: .* scan_reverse for the opposite direction"),
        ({"scan_angle_deg": float("nan"), "scan_step_um": 0.4}, "scan_angle_deg nan: "),
        ({"scan_angle_deg": 31.5, "scan_step_um": -0.4}, "scan_step_um -0.4: the step of the stage is a length"),
        ({}, "how it was scanned is not known; give scan_angle_deg"),
    ],
)
def test_what_is_half_known_or_impossible_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        zs.deskew(skewed_beads(SCAN), **given)


def test_images_that_are_no_stack_are_refused() -> None:
    stack = skewed_beads(SCAN)
    with pytest.raises(ImageError, match="axes YX: a scan is a stack of planes, Z is missing; give axes"):
        deskewed(Image(stack.data[0], "YX", {"Y": 0.1, "X": 0.1}), SCAN)
    with pytest.raises(ImageError, match="axes TYX: a scan is a stack of planes, Z is missing; give axes, ZYX where its planes are steps"):
        deskewed(Image(stack.data, "TYX", {"Y": 0.1, "X": 0.1}), SCAN)
    with pytest.raises(ImageError, match=r"pixel size is missing in the file, .* give pixel_um"):
        deskewed(Image(stack.data, "ZYX"), SCAN)


def test_the_file_completes_what_is_given() -> None:
    image = Image(np.zeros((3, 4, 5)), "ZYX", metadata={"scan": {"angle_deg": 30.0, "step_um": 0.3, "reverse": True}})
    assert scan_of(image, None, None) == StageScan(30.0, 0.3, reverse=True)
    assert scan_of(image, 32.0, None) == StageScan(32.0, 0.3, reverse=True)
    assert scan_of(replace(image, metadata={"scan": {"angle_deg": "much"}}), None, None) is None
    assert scan_of(replace(image, metadata={"scan": [1, 2]}), None, None) is None


def test_images_of_another_scan_do_not_fit_a_model() -> None:
    stack = skewed_beads(SCAN)
    refuse_other_scan(stack, SCAN)
    refuse_other_scan(replace(stack, spacing_um={"Z": SCAN.depth_um, "Y": 0.1, "X": 0.1}), SCAN)
    refuse_other_scan(stack, None)
    with pytest.raises(ImageError, match=r"planes 0.4 um apart, the model was trained on a scan of 0.3 um at 31.5 degrees"):
        refuse_other_scan(stack, StageScan(31.5, 0.3))
    said = replace(stack, metadata={"scan": SCAN.noted()})
    with pytest.raises(ImageError, match=r"towards the first row from plane to plane, the model was trained on .* towards the last row"):
        refuse_other_scan(said, replace(SCAN, reverse=True))
    with pytest.raises(ImageError, match="the model was trained on stacks whose planes lie above each other; train another one"):
        refuse_other_scan(said, None)


def test_scores_need_pixels_with_data() -> None:
    from zsdeconv.metrics import evaluate

    upright = deskewed(skewed_beads(SCAN), SCAN)
    with pytest.raises(ImageError, match=r"NaN or infinite, none may be; compare skewed images, or rows that all planes have seen"):
        evaluate(upright, np.ones(upright.shape) + np.arange(upright.shape[-1]))
    rows = slice(53, 61)  # seen by the first plane, whose last row is 60, and the last one, whose first row is 52.5
    assert np.isfinite(upright.data[:, rows]).all()
