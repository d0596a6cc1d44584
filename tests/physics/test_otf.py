from pathlib import Path

import numpy as np
import pytest

from zsdeconv.errors import ImageError, OpticsError
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import Otf, read_otf
from zsdeconv.physics.psf_theory import theoretical_psf

OPTICS = Optics(1.3, 560, 1.406)
CHANNELS = ["TIRF488_cam1_0_z30", "TIRF560_cam2_0_z21"]


def analytic(k_per_um: np.ndarray, optics: Optics = OPTICS) -> np.ndarray:
    r = np.clip(k_per_um / optics.cutoff_per_um, 0, 1)
    return 2 / np.pi * (np.arccos(r) - r * np.sqrt(1 - r**2))


def write_otf(path: Path, values: np.ndarray, dkr: float, order: str = "<") -> Path:
    """The bare 1024-byte header of the published files, then one row of numbers."""
    header = np.zeros(256, order + "i4")
    header[[0, 1, 2, 3]] = values.shape[-1], values.size // values.shape[-1], 1, 4
    header[7:10] = 1
    floats = header.view(order + "f4")
    floats[10:13] = dkr, dkr, 0.05
    floats[13:16] = 90
    path.write_bytes(header.tobytes() + values.astype(order + "c8").tobytes())
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_analytic_otf_gives_the_airy_pattern_in_either_byte_order(tmp_path: Path, order: str) -> None:
    dkr = 0.0123
    otf = read_otf(write_otf(tmp_path / "otf.mrc", 3 * analytic(dkr * np.arange(420)), dkr, order))
    assert otf.dkr_per_um == pytest.approx(dkr, rel=1e-6)
    assert otf.values[0] == 1
    psf = otf.psf((0.04, 0.031), 1.5)
    expected = theoretical_psf(OPTICS, (0.04, 0.031), 1.5)
    assert psf.values.shape == expected.values.shape
    # Linear interpolation between samples of the OTF: an error of (dkr / cutoff)^2 of the peak; float32 in the file.
    np.testing.assert_allclose(psf.values, expected.values, atol=2e-4 * expected.values.max())


def test_default_radius_is_that_of_theory() -> None:
    otf = Otf(analytic(0.01 * np.arange(600)), 0.01, "analytic")
    ours, theory = otf.psf((0.04, 0.04)).radius_um[0], theoretical_psf(OPTICS, (0.04, 0.04)).radius_um[0]
    assert theory <= ours < 1.1 * theory  # the edge is taken where the OTF falls under 1 %, a little inside the cutoff


def test_sampled_on_any_grid() -> None:
    otf = Otf(analytic(0.01 * np.arange(600)), 0.01, "analytic")
    sampled = otf.sampled((30, 41), (0.05, 0.04))
    ky, kx = np.fft.fftfreq(30, 0.05), np.fft.fftfreq(41, 0.04)
    np.testing.assert_allclose(sampled, analytic(np.hypot(ky[:, None], kx)), atol=1e-4)  # linear interpolation


@pytest.mark.parametrize("channel", CHANNELS)
def test_published_otf_files_against_the_published_conversion(shared: Path, channel: str) -> None:
    """The stored result thins the radial OTF to the frequency step of its own 128 x 128 grid and interpolates linearly.

    Done so with our reader, it is reproduced to float32: file, sampling and sign are read rightly.
    """
    otf = read_otf(shared / f"realdata/sim/otf2d/{channel}_OTF2d.mrc")
    stored = np.load(shared / f"reference/otf2psf_{channel}_OTF2d.npz")
    pixel = float(stored["pixel_um"])
    k = np.fft.fftshift(np.fft.fftfreq(128, pixel))
    kr, thinned = np.hypot(k[:, None], k), k[64:] - k[64]
    thinned = np.append(thinned, 0.5 / pixel)
    signed = np.interp(kr, thinned, otf.at(thinned), right=0)
    inner = kr < 7.7  # the file's last sample lies at 7.987, on a sample of the grid: in or out by rounding
    np.testing.assert_allclose(np.abs(signed)[inner], stored["otf"][inner], atol=1e-6)
    psf = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(signed))))
    np.testing.assert_allclose(psf / psf.sum(), stored["psf"], atol=3e-4 * stored["psf"].max())  # how noise below zero is folded


@pytest.mark.parametrize(("channel", "otf_tolerance", "psf_tolerance"), [(CHANNELS[0], 0.014, 0.01), (CHANNELS[1], 0.027, 0.01)])
def test_our_conversion_stays_close_to_the_published_one(shared: Path, channel: str, otf_tolerance: float, psf_tolerance: float) -> None:
    otf = read_otf(shared / f"realdata/sim/otf2d/{channel}_OTF2d.mrc")
    stored = np.load(shared / f"reference/otf2psf_{channel}_OTF2d.npz")
    pixel = float(stored["pixel_um"])
    ours = np.fft.fftshift(otf.sampled((128, 128), (pixel, pixel)))
    # On the axes (up to the OTF's edge) both use samples of the file; the published one then spans eight times wider gaps.
    np.testing.assert_allclose(np.abs(ours[64, 32:97]), stored["otf"][64, 32:97], atol=2e-4)
    np.testing.assert_allclose(np.abs(ours), stored["otf"], atol=otf_tolerance)
    psf, theirs = otf.psf((pixel, pixel), 40 * pixel).values, stored["psf"][24:105, 24:105].astype(float)
    psf = psf / psf.max() * theirs.max()  # they keep the haze beyond the box in the sum of 1; the shapes are compared
    assert np.sqrt(((psf - theirs) ** 2).sum() / (theirs**2).sum()) < psf_tolerance


def test_what_is_no_radial_otf_is_refused(tmp_path: Path) -> None:
    good = analytic(0.02 * np.arange(300)).astype(complex)
    for values, word in [
        (good * 0, "zero frequency"),
        (np.where(np.arange(300) == 9, np.nan, good), "NaN"),
        (good * np.exp(0.3j * np.arange(300) * (np.arange(300) > 2)), "imaginary"),
        (np.stack([good, good]), "2-D radial OTF"),
    ]:
        with pytest.raises(OpticsError, match=word) as caught:
            read_otf(write_otf(tmp_path / "otf.mrc", values, 0.02))
        assert " otf" in str(caught.value)


def test_otf_without_sampling(tmp_path: Path) -> None:
    path = write_otf(tmp_path / "otf.mrc", analytic(0.02 * np.arange(300)), 0.0)
    with pytest.raises(OpticsError, match="sampling"):
        read_otf(path)
    assert read_otf(path, dkr_per_um=0.02).dkr_per_um == 0.02


def test_missing_or_truncated_file(tmp_path: Path) -> None:
    with pytest.raises(OpticsError, match="check otf"):
        read_otf(tmp_path / "absent.mrc")
    path = write_otf(tmp_path / "otf.mrc", analytic(0.02 * np.arange(300)), 0.02)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ImageError):
        read_otf(path)


def test_volumetric_otf_is_refused(shared: Path) -> None:
    with pytest.raises(OpticsError, match="2-D radial OTF"):
        read_otf(shared / "realdata/sim/threebeam_otf.dv")


def test_grid_too_coarse_for_the_otf() -> None:
    otf = Otf(analytic(0.01 * np.arange(600)), 0.01, "analytic")
    with pytest.raises(OpticsError, match="give scale 2"):
        otf.psf((0.3, 0.3))
