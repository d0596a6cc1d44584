"""Stacks of a stage that moves at an angle to the sheet: the physics of the simulator, the PSF, the network, and the whole way."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import zsdeconv as zs
from golden import runs
from zsdeconv.config import resolve
from zsdeconv.config.relevance import refuse_lone
from zsdeconv.errors import ConfigError, DataWarning, ImageError, UserError
from zsdeconv.image import Image, StageScan
from zsdeconv.metrics import bin2
from zsdeconv.nn.fast import FastNet, UNet
from zsdeconv.nn.layers import ShearedConv
from zsdeconv.physics.operators import Downsample
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.physics.psf_theory import theoretical_psf
from zsdeconv.physics.resample import cropped as centre
from zsdeconv.prepare import Prepared, prepare
from zsdeconv.simulation.scenes import Scene, StackScene, skewed
from zsdeconv.simulation.widefield import simulate_3d

SHEET = Optics(1.1, 525, 1.33, microscope="lightsheet", sheet_um=1.0)
SCENE = StackScene(size=48, planes=9, photons=200.0, seed=3, scan_angle_deg=31.5, scan_step_um=0.4)
SCAN = {"scan_angle_deg": 31.5, "scan_step_um": 0.4}
TINY = {"network": {"channels": (4, 8)}, "training": {"steps": 3, "patch_px": 16, "validate_every": 5}, "prediction": {"passes": 2}}
TINY |= {"optics": {"na": 1.1, "wavelength_nm": 525.0, "immersion_ri": 1.33, "microscope": "lightsheet", "sheet_um": 1.0}, "device": "cpu"}


def settings(**own: Any) -> dict[str, Any]:
    return runs.merged(TINY, {"input": SCAN, **own})


def prepared(image: Image, **own: Any) -> Prepared:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return prepare([image], resolve(settings(**own)))


def restored(image: Any, **own: Any) -> zs.Restored:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return zs.restore(image, config=resolve(settings(**own)), progress=False)


@pytest.fixture(scope="module")
def stack() -> Image:
    """As a microscope writes it: nothing says that it is skewed."""
    return replace(simulate_3d(SCENE).noisy, metadata={"name": "cell.tif"})


@pytest.fixture(scope="module")
def result(stack: Image) -> zs.Restored:
    return restored(stack)


@pytest.mark.parametrize("shift_px", [2.3, -6.82])
def test_a_sheared_psf_images_skewed_objects_as_the_lens_images_upright_ones(shift_px: float) -> None:
    """Imaged upright and then skewed, or skewed and then imaged by the PSF in the coordinates of the camera."""
    psf = theoretical_psf(SHEET, (0.209, 0.05, 0.05))
    around, rng = len(psf.values) // 2, np.random.default_rng(0)
    upright = np.zeros((9 + 2 * around, 260, 80))
    for _ in range(9):
        upright[rng.integers(around, around + 9), rng.integers(110, 150), rng.integers(20, 60)] = rng.uniform(1, 3)
    upright = gaussian_filter(upright, (0, 1, 1))  # what is finer than two pixels is not shifted exactly
    first = 60 - shift_px * (len(upright) // 2)
    expected = skewed(fftconvolve(upright, psf.values, mode="same"), shift_px, first, 140)
    image = fftconvolve(skewed(upright, shift_px, first, 140), psf.sheared(shift_px, energy=1).values, mode="same")
    inner = slice(around, -around), slice(5, -5), slice(5, -5)
    assert np.abs(image - expected)[inner].max() < 1e-4 * expected.max()  # rounding, and the ends of a PSF that is cut off
    cropped = fftconvolve(skewed(upright, shift_px, first, 140), psf.sheared(shift_px).values, mode="same")
    assert np.sqrt(np.square(cropped - expected)[inner].sum() / np.square(expected[inner]).sum()) < 1e-3  # without the outer 0.1 %


def test_a_sheared_psf_has_the_core_of_the_upright_one() -> None:
    """Also an aberrated one, whose core moves when it is sheared, as it has its brightest plane beside the central one."""
    deep = Optics(1.1, 525, 1.33, sample_ri=1.41, depth_um=20.0, microscope="lightsheet", sheet_um=2.0)
    for optics in (SHEET, deep):
        psf = theoretical_psf(optics, (0.209, 0.05, 0.05))
        back = psf.sheared(6.82).upright
        assert fwhms_um(back) == pytest.approx(fwhms_um(psf), rel=0.02)
        assert (back.shift_px, psf.sheared(6.82).shift_px) == (0.0, 6.82)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_simulator_shows_rows_of_the_upright_image(reverse: bool) -> None:
    """At a shift of three raw pixels a plane: plane k of the recording begins at row 3 k of the image of a camera as tall as the scan."""

    class Tall(StackScene):
        def record(self, x: np.ndarray, psf: Psf, time: int = 0) -> np.ndarray:
            return Scene.record(self, x, psf, time)

    options: dict[str, Any] = {"size": 40, "planes": 6, "photons": 1e4, "scan_angle_deg": 45.0, "scan_step_um": 0.3 * 2**0.5}
    scan, tall = (simulate_3d(kind(**options, scan_reverse=reverse)) for kind in (StackScene, Tall))
    assert isinstance(scan.scene, StackScene) and scan.scene.extra_rows == 15 and tall.clean.sizes["Y"] == 55
    unit = scan.truth.data.max() / tall.truth.data.max()
    for k, plane in enumerate(scan.clean.data):
        first = 15 - 3 * k if reverse else 3 * k
        expected = unit * tall.clean.data[k, first : first + 40]
        assert np.abs(plane - expected).max() < 1e-3 * expected.max()  # measured: 1e-15, clipped rounding errors aside
    assert scan.clean.spacing_um["Z"] == pytest.approx(0.3 * 2**0.5)
    assert scan.truth.spacing_um["Z"] == pytest.approx(0.3) and scan.truth.sizes["Y"] == 2 * 55


def test_a_scene_is_skewed_as_it_says() -> None:
    with pytest.raises(ConfigError, match="without the step of the stage; give scan_step_um too"):
        StackScene(scan_angle_deg=30.0)
    with pytest.raises(ConfigError, match=r"z_um 0.3 beside scan_angle_deg 30: planes of the scan are .* = 0.2 um apart; leave out z_um"):
        StackScene(scan_angle_deg=30.0, scan_step_um=0.4, z_um=0.3)
    with pytest.raises(ConfigError, match="between 0 and 90 degrees"):
        StackScene(scan_angle_deg=91.0, scan_step_um=0.4)


def test_sheared_kernels_are_kernels_in_upright_coordinates() -> None:
    """On a stack that moves by whole rows: skew and convolve, or convolve and skew."""
    generator = torch.Generator().manual_seed(0)
    upright = torch.randn(2, 3, 7, 40, 9, generator=generator)
    plain = torch.nn.Conv3d(3, 4, 3, padding=1)
    for shift in (2, -3):
        sheared = ShearedConv(3, 4, 3, padding=1, shift_px=shift)
        sheared.load_state_dict(plain.state_dict())

        def rows(x: torch.Tensor, shift: int = shift) -> torch.Tensor:
            first = 10 if shift > 0 else 28
            return torch.stack([x[:, :, k, first + k * shift - 8 : first + k * shift + 8] for k in range(x.shape[2])], 2)

        inner = (..., slice(4, -4), slice(None))
        assert torch.allclose(sheared(rows(upright))[inner], rows(plain(upright))[inner], atol=1e-5)


def test_the_network_sees_no_farther_than_its_halo() -> None:
    net = UNet(3, 1, 1, (4, 8, 8), lateral_first=True, shift_px=3.28).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    size = [2 * halo + 9 + (-(2 * halo + 9)) % stride for halo, stride in zip(net.halo_px, net.stride_px, strict=True)]
    x = torch.zeros(1, 1, *size, dtype=torch.float64, requires_grad=True)
    center = [n // 2 for n in size]
    net(x)[(0, 0, *center)].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].abs().nonzero()
    reach = (seen - torch.tensor(center)).abs().amax(0).tolist()
    assert all(r <= halo for r, halo in zip(reach, net.halo_px, strict=True))
    assert reach[1] > reach[2] + 6  # it follows the objects along y


def test_a_network_of_skewed_stacks_is_mirrored_along_x_only() -> None:
    net = FastNet(3, 1, Downsample(3, 1), (4, 8), shift_px=2.0)
    assert net.symmetries == 2 and net.turns == (0, 4)
    assert FastNet(3, 1, Downsample(3, 1), (4, 8)).symmetries == 8


def test_what_is_prepared(stack: Image) -> None:
    made = prepared(stack)
    scan = StageScan(31.5, 0.4)
    assert made.spacing_um == pytest.approx((scan.depth_um, 0.1, 0.1))
    assert made.acquisition.shift_px == pytest.approx(scan.shift_um / 0.1)
    assert made.acquisition.psf.spacing_um == pytest.approx((scan.depth_um, 0.05, 0.05))
    assert made.config.pairs.kind != "interleave"
    assert "31.5 degrees: planes 0.209 um apart, objects move by 0.3411 um towards the first row" in made.sources["scan"]
    reverse = prepared(stack, input={**SCAN, "scan_reverse": True})
    assert reverse.acquisition.shift_px == -made.acquisition.shift_px


def test_the_file_may_say_how_it_was_scanned(stack: Image) -> None:
    said = replace(stack, metadata={"scan": {"angle_deg": 31.5, "step_um": 0.4}})
    one, other = (prepared(image, input=given) for image, given in ((said, {}), (stack, SCAN)))
    own = resolve(runs.merged(TINY, {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        one = prepare([said], own)
    assert one.acquisition.psf.fingerprint == other.acquisition.psf.fingerprint
    assert one.config.input.scan == other.config.input.scan


def test_what_is_given_wins_over_the_file(stack: Image, tmp_path: Path) -> None:
    """In memory and from a file, half of it too; the next file has to state the scan of the training."""
    said = replace(stack, metadata={"scan": {"angle_deg": 40.0, "step_um": 0.4}})
    for image in (said, said.save(tmp_path / "said.ome.tif")):
        result = restored(image)
        assert result.deconvolved.metadata["deskewed"]["angle_deg"] == 31.5
    with pytest.raises(ImageError, match=r"a scan of 0\.4 um at 40 degrees: .*, the model was trained on one of 0\.4 um at 31\.5 degrees"):
        result.model.predict(tmp_path / "said.ome.tif", progress=False)


def test_the_published_network_takes_skewed_stacks(stack: Image) -> None:
    """It would learn from neighbouring planes, which do not show one place here."""
    own = {key: value for key, value in TINY.items() if key not in ("network", "prediction")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        made = prepare([stack], resolve({**own, "preset": "paper", "input": SCAN}))
    assert made.config.pairs.kind == "recorrupt"


def test_results_are_upright_and_keep_their_skewed_form(result: zs.Restored) -> None:
    extra = SCENE.extra_rows
    assert result.denoised.sizes == {"Z": 9, "Y": 48 + extra, "X": 48}
    assert result.deconvolved.sizes == {"Z": 9, "Y": 2 * (48 + extra), "X": 96}
    assert result.deconvolved.spacing_um == pytest.approx({"Z": 0.4 * np.sin(np.radians(31.5)), "Y": 0.05, "X": 0.05})
    assert result.skewed is not None and result.skewed.deconvolved.sizes == {"Z": 9, "Y": 96, "X": 96}
    assert StageScan.stated_by(result.skewed.denoised.metadata) == StageScan(31.5, 0.4)
    assert "scan" not in result.denoised.metadata and result.denoised.metadata["deskewed"]["step_um"] == 0.4
    assert result.uncertainty is not None and np.nanmin(result.uncertainty.data) >= 0
    for kind, image in result.images().items():
        upright = zs.deskew(result.skewed.images()[kind]).data
        rows = min(upright.shape[1], image.shape[1])  # of the fine grid alone it may be a row less
        assert np.array_equal(upright[:, :rows], image.data[:, :rows], equal_nan=True)


def test_deskewing_keeps_the_light(result: zs.Restored) -> None:
    """Up to half a row of 48 at either end of a plane, by which its rows are moved between those of the result."""
    for kind in ("denoised", "deconvolved"):
        before, after = result.as_recorded().images()[kind].data, result.images()[kind].data
        assert np.nansum(after, (1, 2)) == pytest.approx(before.sum((1, 2)), rel=0.02)


def test_a_model_restores_the_next_stack(stack: Image, result: zs.Restored, tmp_path: Path) -> None:
    model = zs.load(result.model.save(tmp_path / "cell.zsd"))
    again = model.predict(stack, progress=False)
    assert np.allclose(again.deconvolved.data, result.deconvolved.data, equal_nan=True)
    assert model.psf.shift_px == result.model.psf.shift_px
    as_recorded = again.as_recorded()
    assert as_recorded.skewed is None and as_recorded.deconvolved.sizes["Y"] == 96
    assert np.allclose(zs.deskew(as_recorded.denoised).data, again.denoised.data, equal_nan=True)
    with pytest.raises(ImageError, match="deskewed already"):
        model.predict(again.denoised, progress=False)
    with pytest.raises(ImageError, match=r"the model was trained on a scan of 0\.4 um"):
        model.predict(replace(stack, spacing_um={**stack.spacing_um, "Z": 0.6}), progress=False)


def test_a_model_of_upright_stacks_deskews_nothing(stack: Image) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model = zs.restore(stack, config=resolve(TINY), progress=False).model
    with pytest.raises(ImageError, match="the model was trained on stacks whose planes lie above each other"):
        model.predict(replace(stack, metadata={"scan": {"angle_deg": 31.5, "step_um": 0.4}}), progress=False)


def test_results_can_stay_as_they_were_recorded(stack: Image) -> None:
    kept = restored(stack, prediction={"deskew": False})
    assert kept.skewed is None and kept.denoised.sizes == stack.sizes


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        ({"input": {"scan_step_um": None}}, r"scan_angle_deg 31.5 without the step of the stage \(the planes are 0.4 um apart"),
        ({"input": {"scan_angle_deg": None}}, "scan_step_um 0.4 without the angle"),
        ({"pairs": {"kind": "interleave"}}, r"`pairs=interleave`: planes of the scan shift by 0.341 um along y"),
        ({"sim": {"reconstructed": True}}, r"`pairs=interleave`: .*; leave it out, or deskew what is reconstructed already, and leave out"),
        ({"input": {"z_um": 0.3}}, r"z_um 0.3 has no effect on a scan at an angle, .*: leave it out"),
    ],
)
def test_settings_that_contradict_a_scan_are_refused(stack: Image, own: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        prepared(stack, **{**own, "input": {**SCAN, **own.get("input", {})}})


def test_planes_and_movies_are_no_scan(stack: Image) -> None:
    plane = Image(stack.data[0], "YX", {"Y": 0.1, "X": 0.1})
    movie = Image(stack.data, "TYX", {"Y": 0.1, "X": 0.1})
    optics = {**TINY["optics"], "microscope": "widefield"} | {"sheet_um": None}
    for image in (plane, movie):
        with pytest.raises(ConfigError, match=r"scan_angle_deg 31.5 has no effect on planes: .* \(axes with Z where its planes are steps"):
            prepared(image, optics=optics)


def test_raw_frames_of_structured_illumination_are_no_scan() -> None:
    own = {"modality": "sim3d", "optics": {"na": 1.3, "wavelength_nm": 525.0}, "network": {"channels": (4, 8)}, "device": "cpu"}
    with pytest.raises(ConfigError, match=r"has no effect on raw frames of structured illumination, .* and deskew the reconstruction"):
        prepare([runs.fringed_stack()], resolve({**own, "input": SCAN}))


def test_deskewed_stacks_are_refused_with_a_scan(result: zs.Restored) -> None:
    data = np.nan_to_num(result.denoised.data, nan=0.0)
    with pytest.raises(ImageError, match="its first plane is empty at the end of y and its last one at the beginning"):
        prepared(Image(data, "ZYX", {"Y": 0.1, "X": 0.1}))


def test_a_stack_that_moves_the_other_way_is_told(stack: Image) -> None:
    with pytest.warns(DataWarning, match=r"objects move the other way .*\(towards the first row\), .*; check scan_reverse"):
        prepare([stack], resolve(settings(input={**SCAN, "scan_reverse": True})))
    upright = simulate_3d(replace(SCENE, scan_angle_deg=None, scan_step_um=None, z_um=0.209)).noisy
    with pytest.warns(DataWarning, match="objects stay in their rows from plane to plane"):
        prepare([replace(upright, spacing_um={**upright.spacing_um, "Z": 0.4})], resolve(settings()))


def test_a_step_that_is_not_the_files_is_told(stack: Image) -> None:
    with pytest.warns(DataWarning, match="the file has planes 0.5 um apart, neither the step nor the depth of the scan"):
        prepare([replace(stack, spacing_um={**stack.spacing_um, "Z": 0.5})], resolve(settings()))


def test_angles_beyond_the_limits_are_refused_at_once() -> None:
    for angle in (0.0, 90.0, 148.5, -31.5):
        with pytest.raises(ConfigError, match=rf"scan_angle_deg {angle:g}: the angle .* lies between 0 and 90 degrees"):
            refuse_lone(resolve({"input": {"scan_angle_deg": angle, "scan_step_um": 0.4}}))
    with pytest.raises(ConfigError, match="scan_step_um 0: the step of the stage is a length"):
        resolve({"input": {"scan_step_um": 0.0}})


def test_a_measured_psf_is_given_in_the_directions_of_the_camera(stack: Image) -> None:
    """That of theory, given as a measurement, does the same as the theory."""
    psf = theoretical_psf(SHEET, (StageScan(31.5, 0.4).depth_um, 0.05, 0.05))
    config = resolve({**settings(), "optics": {}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        measured = prepare([stack], config, psf=psf).acquisition.psf
    theory = prepared(stack).acquisition.psf
    assert measured.shift_px == theory.shift_px
    inner = [min(a, b) // 2 for a, b in zip(measured.values.shape, theory.values.shape, strict=True)]
    one, other = (centre(each.values, inner) for each in (measured, theory))
    assert np.abs(one - other).max() < 0.01 * other.max()


def test_bin2_of_the_fine_result_is_the_coarse_one() -> None:
    """The rows of both grids begin at the same place: where the shift is whole on both, deskewing and binning commute."""
    from zsdeconv.image import deskewed

    rng = np.random.default_rng(0)
    fine = rng.normal(size=(5, 40, 20))
    scan = StageScan(45.0, 0.3 * 2**0.5)
    for each in (scan, replace(scan, reverse=True)):
        one = deskewed(Image(fine, "ZYX", {"Y": 0.05, "X": 0.05}), each, 2)
        other = deskewed(Image(bin2(fine), "ZYX", {"Y": 0.1, "X": 0.1}), each)
        assert np.allclose(bin2(one.data), other.data, atol=1e-6, equal_nan=True)
