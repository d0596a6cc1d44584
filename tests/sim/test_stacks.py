"""Three-beam illumination in depth: OTFs of three orders, the pattern of stacks, and their reconstruction."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from laws import assert_adjoint, assert_gradient_is_adjoint, assert_linear
from sim.simulator import (
    DEEP_OPTICS,
    DEEP_PIXEL_UM,
    DEEP_Z_UM,
    EXCITATION_UM,
    Recording,
    beat_per_um,
    focal_stack,
    lens,
    record,
    record_stack,
    three_beams,
    two_beams,
)
from zsdeconv.errors import ConfigError, ImageError, OpticsError
from zsdeconv.io import read
from zsdeconv.physics.operators import fast_length
from zsdeconv.physics.optics import Optics
from zsdeconv.physics.otf import DeepOtf, read_deep_otf, read_otf
from zsdeconv.sim.detection import DetectionOtf3d, detection_otf_2d, detection_otf_3d
from zsdeconv.sim.estimate import Estimation, estimate_parameters
from zsdeconv.sim.patterns import Direction, Layout, SimParameters, illumination, nominal_phases_rad, read_parameters
from zsdeconv.sim.plot import plot_estimation
from zsdeconv.sim.prior import PatternPrior
from zsdeconv.sim.reconstruct import Reconstruct
from zsdeconv.sim.wiener import DEEP_WIENER_RANGE, choose_wiener

DETECTION = detection_otf_3d(DEEP_OPTICS, 1e3 * EXCITATION_UM)


# patterns


def test_the_pattern_of_three_beams_equals_the_loops() -> None:
    parameters = three_beams(order="z-phase-direction")
    images = illumination(parameters, (3, 4), (0.05, 0.03))
    for number, (y, x) in itertools.product(range(15), np.ndindex(3, 4)):
        phase, direction = divmod(number, 3)
        d = parameters.directions[direction]
        u = 2 * np.pi * (d.p_per_um[0] * 0.05 * y + d.p_per_um[1] * 0.03 * x + phase / 5)
        expected = 1 + d.depth * np.cos(u + d.phase_rad) + d.depth2 * np.cos(2 * u + d.phase2_rad)
        assert images[number, y, x] == pytest.approx(expected, abs=1e-12)  # rounding


def test_five_bands_are_separated_exactly() -> None:
    rng = np.random.default_rng(0)
    phases, gains = (0.1, 1.2, 2.9, 3.8, 5.4, 6.0), (1.0, 1.1, 1.3, 0.9, 1.0, 0.8)
    bands = rng.normal(size=5) + 1j * rng.normal(size=5)
    frames = [sum(band * np.exp(1j * m * phase) for band, m in zip(bands, (0, 1, -1, 2, -2), strict=True)) for phase in phases]
    direction = Direction((1.0, 2.0), 1.2, 0.3, phases, gains, 0, 0.5, 0.7)
    np.testing.assert_allclose(direction.separation() @ (np.array(frames) / gains), bands, atol=1e-12)
    assert direction.finest_um == pytest.approx(0.5 / np.sqrt(5))
    np.testing.assert_allclose(direction.strengths, (0.6 * np.exp(0.3j), 0.25 * np.exp(0.7j)))


def test_yaml_of_three_beams_keeps_every_digit(tmp_path: Path) -> None:
    parameters = replace(three_beams(order="direction-z-phase"), made_from={"offset_adu": 100.0})
    (tmp_path / "sim.yaml").write_text(parameters.to_yaml(), encoding="utf-8")
    assert read_parameters(tmp_path / "sim.yaml") == parameters
    assert "depth2" not in two_beams().to_yaml()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 1.5}, "depth 1.5"),
        ({"depth2": 0.01}, "depth 0.01"),
        ({"phases_rad": (0, 1, 2, 3), "gains": (1,) * 4}, "4 phases .* 5 at least"),
        ({"phases_rad": (0, 1, 2, 3, 2 * np.pi)}, "five bands"),
        ({"phase2_rad": np.inf}, "finite"),
    ],
)
def test_impossible_patterns_are_refused(change: dict, message: str) -> None:
    good = {"p_per_um": (1.0, 2.0), "depth": 1.2, "phase_rad": 0.1, "phases_rad": nominal_phases_rad(5), "gains": (1.0,) * 5, "depth2": 0.6}
    with pytest.raises(ConfigError, match=message):
        Direction(**good | change)


def test_directions_of_two_and_of_three_beams_do_not_mix() -> None:
    with pytest.raises(ConfigError, match=r"\[1, 2\] orders"):
        SimParameters((*two_beams(phases=5).directions, *three_beams().directions), 0.1)
    with pytest.raises(ConfigError, match="step in z"):
        replace(three_beams(), z_um=-0.1)


# orders of the pages


@pytest.mark.parametrize("words", list(itertools.permutations(("z", "direction", "phase"))), ids="-".join)
def test_pages_in_any_order_become_stacks(words: tuple[str, ...]) -> None:
    sizes = {"z": 4, "direction": 2, "phase": 5}
    names = [dict(zip(words, place, strict=True)) for place in itertools.product(*(range(sizes[word]) for word in words))]
    pages = np.array([[name["direction"], name["phase"], name["z"]] for name in names])
    layout = Layout(2, 5, "-".join(words))  # pyright: ignore[reportArgumentType]
    stack = layout.stack(pages)
    assert stack.shape == (10, 4, 3)
    for d, p, z in itertools.product(range(2), range(5), range(4)):
        assert stack[layout.numbers[d, p], z].tolist() == [d, p, z]
    np.testing.assert_array_equal(layout.pages(stack), pages)
    assert layout.order not in [other.order for other in layout.others(4)] and len(layout.others(4)) == 5


def test_an_order_without_z_goes_plane_by_plane() -> None:
    pages = np.arange(45)
    for order in ("direction-phase", "phase-direction"):
        named = Layout(3, 5, f"z-{order}")  # pyright: ignore[reportArgumentType]
        np.testing.assert_array_equal(Layout(3, 5, order).stack(pages), named.stack(pages))
        assert Layout(3, 5, order).others(3) == named.others(3)


@pytest.mark.parametrize("count", [7, 44, 46])
def test_pages_that_fill_no_whole_planes_are_refused(count: int) -> None:
    with pytest.raises(ImageError, match=rf"{count} raw frames: 3 directions x 5 phases are 15 in each plane.*`directions` and `phases`"):
        Layout(3, 5).stack(np.zeros((count, 2, 2)))


# OTFs in depth


def test_theory_in_depth_holds_the_lens_of_a_plane() -> None:
    """Summed over kz it is the OTF of the plane in focus, for every order: the beat is 1 there. And nothing lies beyond its ends."""
    detection = DETECTION.under(0.5 / 0.225)
    assert detection.beat_per_um == pytest.approx(beat_per_um(0.225), rel=1e-12)
    kz = np.linspace(-4, 4, 801)
    k = np.linspace(0.5, 4.6, 30) * DETECTION.cutoff_per_um / 4.95
    planes = [detection(k, order, kz).sum(0) for order in range(3)]
    in_focus = lens(k)  # of the same NA and wavelength
    for plane in planes:
        # The PSF is cut sideways and faded in depth, where 1 % of the light of a plane is far out.
        np.testing.assert_allclose(plane / plane[0], in_focus / in_focus[0], atol=0.01)
    np.testing.assert_allclose(planes[1], planes[0], rtol=0.01)
    for order, end in enumerate((1.66, 1.66 + beat_per_um(0.225), 1.66)):
        assert np.abs(detection(k, order, np.array([end + 0.03, -end - 0.03]))).max() == 0
        assert np.abs(detection(k, order, np.array([end - 0.15]))).max() > 1e-3


def test_theory_in_depth_is_the_transform_of_plane_waves() -> None:
    planes, side = 64, 300
    psf = focal_stack(planes, side, DEEP_PIXEL_UM / 2)
    window = np.cos(np.pi / 2 * (DEEP_Z_UM * planes * np.fft.fftfreq(planes)) / (8 / DEEP_OPTICS.axial_cutoff_per_um)).clip(0) ** 2
    H = np.fft.fftn(psf * window[:, None, None])[:, 0, : side // 2].real
    kz, k = np.fft.fftfreq(planes, DEEP_Z_UM), np.fft.rfftfreq(side, DEEP_PIXEL_UM / 2)[: side // 2]
    ours = DETECTION(k, 0, kz)
    beyond_the_cone = k[: len(k) // 2 * 2].reshape(-1, 2)[:, 0] > 0.4  # the light cone of the periodic field wraps around
    # Pairs of frequencies, for the pupil of a periodic field is made of pixels.
    ours, H = (values[:, : len(k) // 2 * 2].reshape(planes, -1, 2).mean(2)[:, beyond_the_cone] for values in (ours, H / H[0, 0]))
    np.testing.assert_allclose(ours, H, atol=0.004)


def three_orders(kr: np.ndarray, kz: np.ndarray) -> np.ndarray:
    """Made-up OTFs (order kr kz) that differ in everything, with a phase along kz in order 1 (a bead above the focus)."""
    fall = np.clip(1 - kr[:, None] / 4, 0, 1)
    width = [np.exp(-((kz / um) ** 2)) for um in (0.4, 0.5, 0.3)]
    split = np.exp(-(((np.abs(kz) - 0.7) / 0.2) ** 2)) * np.exp(2j * np.pi * 0.4 * kz)
    return np.stack([fall * width[0], 0.3 * fall**2 * split, 0.25 * fall * width[2]]) * (np.abs(kz) < 1.2)


def write_deep_otf(path: Path, values: np.ndarray, dkr: float, dkz: float, order: str = "<") -> Path:
    """A bare 1024-byte header, then the orders: columns kz, rows kr, sections orders."""
    header = np.zeros(256, order + "i4")
    header[[0, 1, 2, 3]] = values.shape[2], values.shape[1], values.shape[0], 4
    header[7:10] = 1
    header.view(order + "f4")[10:16] = dkz, dkr, 0, 90, 90, 90
    path.write_bytes(header.tobytes() + values.astype(order + "c8").tobytes())
    return path


@pytest.mark.parametrize(("byte_order", "count"), [("<", 41), (">", 40)])
def test_files_of_three_orders_in_either_byte_order(tmp_path: Path, byte_order: str, count: int) -> None:
    dkr, dkz = 0.05, 0.08
    kr, kz = dkr * np.arange(90), dkz * count * np.fft.fftfreq(count)
    stored = 7 * three_orders(kr, kz) * np.exp(1j * np.array([0, 0.8, -2.1]))[:, None, None]  # the pattern's phases at the bead
    otf = read_deep_otf(write_deep_otf(tmp_path / "otf.mrc", stored, dkr, dkz, byte_order))
    assert (otf.dkr_per_um, otf.dkz_per_um) == pytest.approx((dkr, dkz))
    detection = detection_otf_3d(otf)
    place, along = kr[3:70:7], kz[np.abs(kz) < 1.0]
    expected = three_orders(place, along) / np.array([1, 2 / 3, 1 / 3])[:, None, None]
    for order in range(3):
        found = detection(place, order, along).T
        sign = 1 if order != 1 else np.sign(np.sum(found * expected[1].conj()).real)  # a phase of half a turn is the pattern's too
        np.testing.assert_allclose(sign * found, expected[order], atol=2e-3)  # what is smaller than 5e-4 is left out
    assert 3.9 < detection.cutoff_per_um < 4.01 and 1.0 < detection.axial_end_per_um < 1.25


def test_what_is_no_deep_otf_is_refused(shared: Path, tmp_path: Path) -> None:
    good = three_orders(0.05 * np.arange(90), 0.08 * 40 * np.fft.fftfreq(40))
    for values, message in ((good[:1], "3, n_kr, n_kz"), (-good, "zero frequency"), (np.where(good == good[1, 2, 3], np.nan, good), "NaN")):
        with pytest.raises(OpticsError, match=message):
            read_deep_otf(write_deep_otf(tmp_path / "otf.mrc", values, 0.05, 0.08))
    with pytest.raises(OpticsError, match="sampling of 0"):
        read_deep_otf(write_deep_otf(tmp_path / "otf.mrc", good, 0.0, 0.08))
    with pytest.raises(OpticsError, match=r"none.mrc: cannot be opened"):
        read_deep_otf(tmp_path / "none.mrc")
    folder = shared / "realdata/sim"
    with pytest.raises(OpticsError, match=r"\(1, 257\), for a stack .* give an otf of that kind"):
        read_deep_otf(folder / "otf2d/TIRF488_cam1_0_z30_OTF2d.mrc")
    with pytest.raises(OpticsError, match=r"\(3, 129, 65\), a 2-D radial OTF is complex"):
        read_otf(folder / "threebeam_otf.dv")
    with pytest.raises(OpticsError, match=r"excitation_nm 488 beside an OTF"):
        detection_otf_3d(read_deep_otf(folder / "threebeam_otf.dv"), 488)


def test_light_that_cannot_produce_the_fringes() -> None:
    with pytest.raises(OpticsError, match=r"excitation 0.488 nm"):
        detection_otf_3d(DEEP_OPTICS, 0.488)
    with pytest.raises(OpticsError, match=r"fringes of 0.125 um: light of 488 nm produces 0.174 um at the finest"):
        DETECTION.under(4.0)


@pytest.mark.parametrize("more", [{"microscope": "lattice", "sheet_um": 1.0}, {"sample_ri": 1.38}, {"sample_ri": 1.38, "depth_um": 3.0}])
def test_optics_that_the_theory_does_not_hold_are_refused(more: dict) -> None:
    """They gave the OTF of a wide-field microscope in silence."""
    optics = Optics(1.1, 525, 1.333, **more)
    for theory in (detection_otf_2d, detection_otf_3d):
        with pytest.raises(OpticsError, match=rf"{next(iter(more))} .*leave it out, or give a measured OTF"):
            theory(optics)


# reconstruction


COARSE = DetectionOtf3d(
    DeepOtf(three_orders(0.02 * np.arange(201), 0.02 * np.arange(70)), 0.02, 0.02, "made up"), 2.0, 0.3, beat_per_um=0.1
)
"""OTFs for small stacks: complex, cutoff 2 cycles per um, nothing from 0.4 per um along the axis on."""
ODD = SimParameters(
    (
        Direction((0.43, 0.67), 0.9, 0.4, (0.1, 1.5, 2.3, 3.3, 4.9, 5.5), (1.0, 1.1, 0.9, 1.2, 1.0, 0.8), 0, 0.5, 1.9),
        Direction((-0.72, 0.29), 1.3, -2.3, (0.0, 1.1, 2.6, 3.1, 4.6, 5.2), (0.8, 1.05, 1.0, 1.3, 0.9, 1.0), 0, 0.3, 0.6),
    ),
    0.2,
    "phase-direction",
    z_um=1.1,
)
"""Two directions of unlike wave vectors, six uneven phases, gains: nothing symmetrical in it."""


def waves(k: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.exp(2j * np.pi * np.outer(k, r))


def by_direct_sums(frames: np.ndarray, w: float, attenuation: float, reach: tuple[int, ...]) -> np.ndarray:
    """SIM reconstruction frame by frame, with matrices of exponentials instead of any FFT, in double precision."""
    assert ODD.z_um is not None
    um, shape = (ODD.z_um, 0.2, 0.2), frames.shape[1:]
    sizes = [fast_length(n + 2 * m) for n, m in zip(shape, reach, strict=True)]
    before = [(size - n + 1) // 2 for size, n in zip(sizes, shape, strict=True)]
    padded = np.pad(frames, [(0, 0), *((m, m) for m in before)], mode="reflect")[:, : sizes[0], : sizes[1], : sizes[2]]
    raw = [s * np.arange(n) for n, s in zip(sizes, um, strict=True)]
    fine = [raw[0], *(0.1 * np.arange(2 * n) for n in sizes[1:])]
    kz, *_ = k = [np.arange(-(n // 2) + 1, n // 2) / (n * s) for n, s in zip(sizes, um, strict=True)]
    f = [kz, *(np.arange(-n + 1, n) / (n * 0.2) for n in sizes[1:])]

    def dip(kr: np.ndarray) -> np.ndarray:
        return 1 - attenuation * np.exp(-((kr / 0.3) ** 2) / 2)

    total = np.zeros([len(r) for r in fine])
    for d, direction in enumerate(ODD.directions):
        inverse = np.linalg.pinv(np.exp(1j * np.outer(direction.phases_rad, (0, 1, -1, 2, -2))))
        c = (1, direction.depth / 2 * np.exp(1j * direction.phase_rad), direction.depth2 / 2 * np.exp(1j * direction.phase2_rad))
        place = np.add.outer(direction.p_per_um[0] * (fine[1] - 0.2 * before[1]), direction.p_per_um[1] * (fine[2] - 0.2 * before[2]))
        for i, number in enumerate(ODD.layout.numbers[d]):
            spectrum = np.einsum(
                "az,by,cx,zyx->abc", *(waves(a, r).conj() for a, r in zip(k, raw, strict=True)), padded[number], optimize=True
            )
            for m in range(3):
                kr = np.hypot(k[1][:, None], k[2])
                band = spectrum * dip(kr) * COARSE(kr, m, kz).conj()
                image = np.einsum("az,by,cx,abc->zyx", *(waves(a, r) for a, r in zip(k, fine, strict=True)), band, optimize=True)
                r = np.conj(c[m]) * inverse[(0, 1, 3)[m], i] * np.exp(-2j * np.pi * m * place)
                total += direction.gains[i] * (1 if m == 0 else 2) * r.real * image.real / np.prod(sizes) / 2

    def W(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        D, N, seen = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape)), 0.0, False
        for direction in ODD.directions:
            for m, c in (
                (0, 1.0),
                (1, direction.depth / 2),
                (-1, direction.depth / 2),
                (2, direction.depth2 / 2),
                (-2, direction.depth2 / 2),
            ):
                q = np.hypot(y + m * direction.p_per_um[0], x + m * direction.p_per_um[1])
                power = c**2 * np.abs(COARSE(q[0], abs(m), z.ravel())) ** 2 / 2
                D, N = D + dip(q) * power, N + dip(q) ** 2 * power
                seen = seen | ((q < 2) & (np.abs(z) < (0.4 if abs(m) == 1 else 0.3)))
        end = 2 + np.mean([2 * np.hypot(*direction.p_per_um) for direction in ODD.directions])
        A = np.clip(1 - np.hypot(np.hypot(y, x) / end, z / 0.4), 0, 1) * seen
        return A / (D + w**2 * np.where(D > 1e-6, N / np.maximum(D, 1e-6), 1.0)), D

    at0, D0 = W(*[np.zeros((1, 1, 1))] * 3)
    spectrum = np.einsum("az,by,cx,zyx->abc", *(waves(a, r).conj() for a, r in zip(f, fine, strict=True)), total, optimize=True)
    spectrum *= W(f[0][:, None, None], f[1][:, None], f[2][None, None])[0] / (at0 * D0)
    image = np.einsum("az,by,cx,abc->zyx", *(waves(a, r) for a, r in zip(f, fine, strict=True)), spectrum, optimize=True).real
    start, stop = (before[0], 2 * before[1], 2 * before[2]), (shape[0], 2 * shape[1], 2 * shape[2])
    return image[tuple(slice(a, a + n) for a, n in zip(start, stop, strict=True))] / (4 * np.prod(sizes))


@pytest.mark.parametrize(("shape", "attenuation"), [((3, 7, 10), 0.9), ((4, 11, 6), 0.0)])
def test_it_equals_the_direct_sums(shape: tuple[int, ...], attenuation: float) -> None:
    frames = np.random.default_rng(0).normal(size=(12, *shape))
    operator = Reconstruct(ODD, COARSE, 0.2, wiener=0.03, attenuation=attenuation)
    image = operator(torch.from_numpy(frames)[None])[0, 0].numpy()
    expected = by_direct_sums(frames, 0.03, attenuation, operator.support_px)
    # Both in double precision, sums of 1e5 products.
    np.testing.assert_allclose(image, expected, atol=1e-9 * np.abs(expected).max())


def test_laws() -> None:
    for detection in (COARSE, detection_otf_3d(Optics(0.5, 500, 1.0))):
        operator = Reconstruct(ODD, detection, 0.2, 0.05)
        for zyx in ((3, 9, 6), (1, 8, 7)):
            frames, image = (2, 12, *zyx), (2, 1, zyx[0], 2 * zyx[1], 2 * zyx[2])
            assert_adjoint(operator, frames, image)
            assert_linear(operator, frames)
            assert_gradient_is_adjoint(operator, frames)


def test_linear_in_single_precision() -> None:
    recording = record_stack(three_beams(), 100, np.random.default_rng(1), (5, 40, 44))
    operator = Reconstruct(three_beams(), DETECTION, DEEP_PIXEL_UM, 0.01)
    parts = [torch.from_numpy(part.astype(np.float32))[None] for part in (recording.clean, recording.frames - recording.clean)]
    whole, sum_of_parts = operator(parts[0] + parts[1]), operator(parts[0]) + operator(parts[1])
    assert float((whole - sum_of_parts).abs().max()) < 1e-5 * float(whole.abs().max())


def test_a_part_of_the_stack_is_reconstructed_as_the_whole() -> None:
    reconstruct = Reconstruct(three_beams(), DETECTION, DEEP_PIXEL_UM, 0.02)
    frames = torch.from_numpy(np.random.default_rng(5).normal(3, 1, (1, 15, 6, 80, 84)))
    top, left, reach = 7, 13, 24
    whole = reconstruct(frames)[..., 2 * (top + reach) : 2 * (top + 66 - reach), 2 * (left + reach) : 2 * (left + 68 - reach)]
    part = frames[..., top : top + 66, left : left + 68]
    inner = np.s_[..., 2 * reach : -2 * reach, 2 * reach : -2 * reach]
    scale = float(whole.std())
    for origin in ((top, left), (0, top, left)):
        # tails of the filter beyond the reach
        torch.testing.assert_close(reconstruct(part, origin)[inner], whole, rtol=0, atol=0.1 * scale)
    assert (reconstruct(part)[inner] - whole).abs().max() > scale
    x, y = torch.rand(1, 15, 2, 20, 22, dtype=torch.float64), torch.rand(1, 1, 2, 40, 44, dtype=torch.float64)
    product = (reconstruct(x, (3, 5)) * y).sum()
    torch.testing.assert_close(product, (x * reconstruct.adjoint(y, (3, 5))).sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("place_px", [(10.3, 40.27, 43.61), (11.0, 44.5, 39.0), (9.0, 41.0, 42.5)])
def test_a_point_becomes_the_psf(place_px: tuple[float, float, float]) -> None:
    """A bead is imaged under every pattern, each order blurred by its own OTF, and reconstructed: H_SIM, wherever it lies."""
    shape, parameters = (22, 84, 86), three_beams()
    detection = DETECTION.under(0.5 / 0.225)
    kz, ky, kx = (np.fft.fftfreq(n, um) for n, um in zip(shape, (DEEP_Z_UM, DEEP_PIXEL_UM, DEEP_PIXEL_UM), strict=True))
    z, y, x = (um * p for um, p in zip((DEEP_Z_UM, DEEP_PIXEL_UM, DEEP_PIXEL_UM), place_px, strict=True))
    move = np.exp(-2j * np.pi * (kz[:, None, None] * z + ky[:, None] * y + kx * x))
    images = [np.fft.ifftn(detection(np.hypot(ky[:, None], kx), m, kz) * move).real for m in range(3)]
    frames = np.zeros((15, *shape))
    for numbers, d in zip(parameters.layout.numbers, parameters.directions, strict=True):
        for number, step in zip(numbers, d.phases_rad, strict=True):
            u = 2 * np.pi * (d.p_per_um[0] * y + d.p_per_um[1] * x) + step
            frames[number] = images[0] + d.depth * np.cos(u + d.phase_rad) * images[1] + d.depth2 * np.cos(2 * u + d.phase2_rad) * images[2]
    operator = Reconstruct(parameters, detection, DEEP_PIXEL_UM, 0.02)
    image = operator(torch.from_numpy(frames)[None])[0, 0].numpy()
    fy, fx = (np.fft.fftfreq(2 * n, DEEP_PIXEL_UM / 2) for n in shape[1:])
    move = np.exp(-2j * np.pi * (kz[:, None, None] * z + fy[:, None] * y + fx * x))
    expected = 4 * np.fft.ifftn(operator.otf(kz[:, None, None], fy[:, None], fx) * move).real
    # The bead's cone of light wraps around the ends of this stack, and is mirrored at those of the reconstruction.
    assert np.abs(image - expected)[4:-4].max() < 0.01 * expected.max()
    psf = operator.psf()
    if all(float(2 * p).is_integer() for p in place_px):
        middle = round(place_px[0]), round(2 * place_px[1]), round(2 * place_px[2])
        box = tuple(slice(c - h, c + h + 1) for c, h in zip(middle, (5, 20, 20), strict=True))
        centre = tuple(slice(n // 2 - h, n // 2 + h + 1) for n, h in zip(psf.values.shape, (5, 20, 20), strict=True))
        np.testing.assert_allclose(image[box] / image[box].max(), psf.values[centre] / psf.values.max(), atol=0.012)


def test_the_psf_in_depth() -> None:
    psfs = [Reconstruct(three_beams(), DETECTION, DEEP_PIXEL_UM, w).psf() for w in (0.01, *DEEP_WIENER_RANGE)]
    for psf in psfs:
        assert psf.spacing_um == (DEEP_Z_UM, DEEP_PIXEL_UM / 2, DEEP_PIXEL_UM / 2)
        assert all(n % 2 for n in psf.values.shape) and psf.values.sum() == pytest.approx(1)
        np.testing.assert_array_equal(psf.values, psf.values[::-1, ::-1, ::-1])
        assert -psf.values[psf.values < 0].sum() < 0.5 * psf.values[psf.values > 0].sum()  # a `Psf` may not have more
    wide = Reconstruct(three_beams(), DETECTION, DEEP_PIXEL_UM, DEEP_WIENER_RANGE[1]).psf(1.8)
    psf = psfs[-1]
    half = [n // 2 for n in psf.values.shape]
    inner = wide.values[:, wide.values.shape[1] // 2 - half[1] :, wide.values.shape[2] // 2 - half[2] :]
    inner = inner[:, : psf.values.shape[1], : psf.values.shape[2]]
    assert (inner**2).sum() > 0.99 * (wide.values**2).sum()


def test_a_single_direction_is_reconstructed_though_its_psf_is_mostly_negative() -> None:
    """With a small w its PSF has more than half as much negative light as positive, which no measured PSF may have."""
    one = replace(three_beams(), directions=three_beams().directions[:1])
    operator = Reconstruct(one, DETECTION, DEEP_PIXEL_UM, 0.001)
    values = operator.psf().values
    assert -values[values < 0].sum() > 0.5 * values[values > 0].sum() and values.sum() == pytest.approx(1)
    frames = torch.full((1, 5, 6, 40, 44), 3.0)
    torch.testing.assert_close(operator(frames).mean(), torch.tensor(3.0), rtol=0.01, atol=0)  # so small a w rings at the borders


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    fit = np.polyval(np.polyfit(image.ravel(), truth.ravel(), 1), image)
    return float(np.sqrt(np.mean((fit - truth) ** 2)) / truth.std())


# estimation


def distance(found: Direction, truth: Direction, yx_shape: tuple[int, ...], um: float = DEEP_PIXEL_UM) -> list[float]:
    """Errors of the wave vector of order 2 (frequency pixels), of the relative strengths, and of the phases in the middle (rad)."""
    p, q = np.array(found.p_per_um), np.array(truth.p_per_um)
    sign, side_um = np.sign(p @ q), np.array(yx_shape) * um
    off = sign * p - q
    turns = [sign * (a - b) if sign > 0 else -a - b for a, b in ((found.phase_rad, truth.phase_rad), (found.phase2_rad, truth.phase2_rad))]
    turns = [abs(float(np.angle(np.exp(1j * (turn + m * np.pi * float(off @ side_um)))))) for m, turn in enumerate(turns, 1)]
    strengths = [abs(a / b - 1) for a, b in zip(found.depths, truth.depths, strict=True)]
    return [2 * float(np.abs(off * side_um).max()), *strengths, *turns]


def estimated(frames: np.ndarray, layout: Layout | None = None, **options) -> Estimation:
    return estimate_parameters(frames, DEEP_PIXEL_UM, DETECTION, layout, z_um=DEEP_Z_UM, **options)


@pytest.mark.parametrize(
    ("photons", "seeds", "limits"),
    [
        (40, (0, 1), (0.09, 0.08, 0.08, 0.06, 0.15)),
        (200, (2,), (0.07, 0.05, 0.05, 0.05, 0.1)),
        (2000, (0,), (0.02, 0.03, 0.03, 0.03, 0.04)),
    ],
)
def test_accuracy_blind(photons: int, seeds: tuple[int, ...], limits: tuple[float, ...]) -> None:
    """Root mean square of all directions; single photons at 40, hardly any noise at 2000."""
    truth, found = three_beams(), []
    for seed in seeds:
        frames = record_stack(truth, photons, np.random.default_rng(seed)).frames
        estimation = estimated(frames)
        assert all("the wave vector is known to 0." in message for message in estimation.messages)
        pairs = zip(estimation.parameters.directions, truth.directions, strict=True)
        found += [distance(a, b, frames.shape[2:]) for a, b in pairs]
    assert (np.sqrt(np.mean(np.square(found), axis=0)) < limits).all()


@pytest.fixture(scope="module")
def recording() -> Recording:
    """100 photons, frames of a plane ordered direction, then phase (frame z y x)."""
    return record_stack(three_beams(), 100, np.random.default_rng(7), (9, 80, 86))


@pytest.fixture
def frames(recording: Recording) -> np.ndarray:
    return recording.frames


def test_from_the_raw_stack_to_the_image(recording: Recording) -> None:
    """Blind: parameters and w from the frames. Nearer to the object than wide-field, and brightness is kept."""
    raw = recording.frames.astype(np.float32)
    parameters = estimated(raw).parameters
    w = choose_wiener(raw, parameters, DETECTION, DEEP_PIXEL_UM)
    operator = Reconstruct(parameters, DETECTION, DEEP_PIXEL_UM, w)
    image = operator(torch.from_numpy(raw)[None])[0, 0].numpy()
    k = [np.fft.fftfreq(n, um) for n, um in zip(image.shape, operator.fine_spacing_um, strict=True)]
    soft = np.fft.ifftn(np.fft.fftn(recording.truth) * operator.weights.apodisation(k[0][:, None, None], k[1][:, None], k[2])).real
    inner = np.s_[2:-2, 16:-16, 16:-16]
    wide = raw.mean(0).repeat(2, 1).repeat(2, 2)
    assert nrmse(image[inner], soft[inner]) < 0.6 * nrmse(wide[inner], soft[inner])
    others = [Reconstruct(parameters, DETECTION, DEEP_PIXEL_UM, f * w)(torch.from_numpy(raw)[None])[0, 0].numpy() for f in (0.3, 3)]
    best = min(nrmse(other[inner], soft[inner]) for other in others)
    assert nrmse(image[inner], soft[inner]) < 1.1 * best  # near the best; the spectrum of lines is no power law
    assert image.mean() == pytest.approx(raw.mean(), rel=0.02)


def test_the_wiener_parameter_follows_the_light(recording: Recording) -> None:
    rng, found = np.random.default_rng(8), []
    for photons in (2000, 100, 10):
        frames = rng.poisson(photons / 100 * recording.clean) + rng.normal(0, 2, recording.clean.shape)
        found.append(choose_wiener(frames, three_beams(), DETECTION, DEEP_PIXEL_UM))
    assert found == sorted(found) and found[0] < found[2]
    noise = np.random.default_rng(0).normal(0, 1, (15, 5, 48, 48))
    assert choose_wiener(noise, three_beams(), DETECTION, DEEP_PIXEL_UM) == DEEP_WIENER_RANGE[1]


def test_a_prior_narrows_the_search_to_the_finest_fringes(frames: np.ndarray) -> None:
    truth = three_beams()
    angles = tuple(d.angle_deg + 182 for d in truth.directions)  # two degrees off, and the other way round
    found = estimated(frames, prior=PatternPrior(angles, 0.23))
    for a, b in zip(found.parameters.directions, truth.directions, strict=True):
        assert distance(a, b, frames.shape[2:])[0] < 0.1
    assert found.peaks[0].limit < estimated(frames).peaks[0].limit
    with pytest.raises(OpticsError, match=r"period 0.1 um"):
        estimated(frames, prior=PatternPrior(None, 0.1))


@pytest.mark.parametrize("right", ["direction-z-phase", "z-phase-direction"])
def test_the_wrong_order_is_told(frames: np.ndarray, right: str) -> None:
    ordered = Layout(3, 5, right)  # pyright: ignore[reportArgumentType]
    in_plane = frames if right.startswith("direction") else frames.reshape(3, 5, -1).swapaxes(0, 1).reshape(frames.shape)
    pages, wrong = ordered.pages(in_plane), Layout(3, 5, "z-direction-phase")
    with pytest.raises(ImageError, match=f"give `order={right}`"):
        estimated(wrong.stack(pages), wrong)
    assert estimated(ordered.stack(pages), ordered).parameters.order == right


def test_a_direction_recorded_twice_is_told(frames: np.ndarray) -> None:
    twice = frames.copy()
    twice[10:] = frames[:5]
    with pytest.raises(ImageError, match="directions 1 and 3 show the same fringes"):
        estimated(twice)


def test_nothing_modulated_is_nothing_found(frames: np.ndarray) -> None:
    flat = np.random.default_rng(10).poisson(np.broadcast_to(frames.mean(0).clip(0), frames.shape))
    with pytest.raises(ImageError, match=r"no pattern found .*limit .*check `order` and `otf`.*give angles_deg and period_um"):
        estimated(flat)


def test_two_beams_are_not_taken_for_three(recording: Recording) -> None:
    """Fringes of order 2 without any of order 1 are produced by two beams, recorded in five phases of twice their period."""
    bands = np.fft.fft(recording.clean.reshape(3, 5, 9, 80, 86), axis=1)
    bands[:, [1, 4]] = 0
    with pytest.raises(ImageError, match="no pattern found in direction"):
        estimated(np.fft.ifft(bands, axis=1).real.reshape(15, 9, 80, 86))


def test_uneven_brightness_is_made_up_for(frames: np.ndarray) -> None:
    fading = 0.97 ** np.arange(15)
    found = estimated(frames * fading[:, None, None, None])
    gains = np.concatenate([d.gains for d in found.parameters.directions])
    np.testing.assert_allclose(gains, fading.mean() / fading, rtol=0.02)  # what the pattern does to the mean of a finite field


def test_stacks_that_cannot_be_used(frames: np.ndarray) -> None:
    detection = detection_otf_2d(DEEP_OPTICS)
    with pytest.raises(OpticsError, match="3-D frames and a 2-D OTF"):
        estimate_parameters(frames, DEEP_PIXEL_UM, detection, Layout(3, 5), z_um=DEEP_Z_UM)
    with pytest.raises(OpticsError, match="2-D frames and a 3-D OTF"):
        estimate_parameters(frames[:, 0], DEEP_PIXEL_UM, DETECTION, z_um=DEEP_Z_UM)
    with pytest.raises(ConfigError, match="give z_um"):
        estimate_parameters(frames, DEEP_PIXEL_UM, DETECTION)
    with pytest.raises(ImageError, match="10 raw frames: 3 directions x 5 phases are 15"):
        estimated(frames[:10])
    with pytest.raises(ConfigError, match="3 phases: at least 5"):
        estimated(frames[:9], Layout(3, 3))
    with pytest.raises(ImageError, match="stack of 4 planes"):
        estimated(frames[:, :4])
    with pytest.raises(ImageError, match="40 x 86 pixels"):
        estimated(frames[:, :, :40])
    with pytest.raises(OpticsError, match=r"pixel 0.14 um"):
        estimate_parameters(frames, 0.14, DETECTION, z_um=DEEP_Z_UM)
    missing = frames.copy()
    missing[3, 2] = 5.0
    with pytest.raises(ImageError, match="constant"):
        estimated(missing)


def test_pattern_and_otf_of_unlike_kinds_are_refused() -> None:
    flat = detection_otf_2d(DEEP_OPTICS)
    for parameters, detection in ((three_beams(), flat), (two_beams(), DETECTION)):
        with pytest.raises(OpticsError, match="two beams need a 2-D one"):
            Reconstruct(parameters, detection, DEEP_PIXEL_UM, 0.1)
    with pytest.raises(OpticsError, match="two beams need a 2-D one"):
        choose_wiener(record(two_beams(), 50, np.random.default_rng(0), (60, 60)).frames, two_beams(), DETECTION, 0.0626)
    with pytest.raises(ConfigError, match="give z_um"):
        Reconstruct(replace(three_beams(), z_um=None), DETECTION, DEEP_PIXEL_UM, 0.1)
    with pytest.raises(OpticsError, match=r"pixel 0.11 um"):
        Reconstruct(three_beams(), DETECTION, 0.11, 0.01)


def test_the_plot_shows_the_finest_fringes(frames: np.ndarray, tmp_path: Path) -> None:
    found = estimated(frames)
    for peak in found.peaks:
        assert peak.spectrum.max() == pytest.approx(peak.score, rel=1e-4)  # float32
    plot_estimation(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


# real data


@pytest.mark.parametrize("measured", [True, False], ids=["measured OTF", "theory"])
def test_published_parameters_of_a_three_beam_stack(shared: Path, measured: bool) -> None:
    folder, layout = shared / "realdata/sim", Layout(3, 5, "direction-z-phase")
    image = read(folder / "threebeam_angle-z-phase.dv")
    assert image.axes == "ZYX"
    detection = detection_otf_3d(read_deep_otf(folder / "threebeam_otf.dv") if measured else Optics(1.42, 528, 1.515))
    stack = layout.stack(1e5 * image.data)
    found = estimate_parameters(stack, image.spacing_um["X"], detection, layout, z_um=image.spacing_um["Z"])
    for direction, angle in zip(found.parameters.directions, (-0.8043, -1.8555, 0.2388), strict=True):
        off = np.deg2rad(direction.angle_deg) - angle
        assert abs((off + np.pi / 2) % np.pi - np.pi / 2) < 4e-4  # 0.01 frequency pixels of these 64
        assert direction.finest_um == pytest.approx(0.2035, abs=2e-4)
    assert found.messages == () and max(abs(peak.doubled_rad) for peak in found.peaks) < 0.05
    operator = Reconstruct(found.parameters, detection, image.spacing_um["X"], 0.01)
    sharp = operator(torch.from_numpy(stack)[None])[0, 0].numpy()
    power = np.abs(np.fft.fft2(sharp[4] * np.outer(np.hanning(128), np.hanning(128)))) ** 2
    k = np.hypot(*np.meshgrid(*[np.fft.fftfreq(128, 0.04)] * 2))
    # beyond the cutoff of the lens lies more than a hundredth of what lies at three quarters of it: wide-field has nothing there
    assert power[(k > 1.2 * 5.4) & (k < 1.3 * 5.4)].mean() > 0.01 * power[(k > 0.7 * 5.4) & (k < 0.8 * 5.4)].mean()
