"""`sim estimate` and `sim reconstruct`: files in, parameters and images out, and what is refused."""

import re

import numpy as np
import pytest
import tifffile
import torch
import yaml

from sim.simulator import DEEP_PIXEL_UM, DEEP_Z_UM, EXCITATION_UM, KC, PIXEL_UM, record_stack, three_beams, two_beams
from zsdeconv.io import read, read_provenance
from zsdeconv.physics.optics import Optics
from zsdeconv.sim.detection import detection_otf_2d, detection_otf_3d
from zsdeconv.sim.patterns import Layout, read_parameters
from zsdeconv.sim.reconstruct import Reconstruct

LENS = ("--na", 1.3, "--wavelength-nm", 525)


def test_estimate_then_reconstruct(zs, raw, counts, tmp_path):
    parameters, picture, output = (tmp_path / name for name in ("sim.yaml", "sim.png", "out.ome.tif"))
    done = zs("sim", "estimate", raw, "-o", parameters, "--plot", picture, *LENS, "--pixel-um", PIXEL_UM)
    assert done.code == 0 and re.search(r"^direction 3 +\S+ degrees, period 0\.\d+ um, depth 0\.\d+", done.out, re.MULTILINE)
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = read_parameters(parameters)
    assert found.directions[1].period_um == pytest.approx(1 / (0.85 * KC), rel=1e-3)  # 0.02 pixels of 12
    assert found.made_from["optics"] == {"na": 1.3, "wavelength_nm": 525.0, "immersion_ri": 1.406}
    offset = found.made_from["offset_adu"]
    assert offset == pytest.approx(100, abs=1.5)

    done = zs("sim", "reconstruct", raw, "-o", output, "--sim-parameters", parameters, "--wiener", 0.2, "--json")
    assert done.json["wiener"] == 0.2
    image = read(output)
    assert image.axes == "YX" and image.offset == 0 and image.data.dtype == np.float32
    assert image.spacing_um["X"] == pytest.approx(PIXEL_UM / 2)
    operator = Reconstruct(found, detection_otf_2d(Optics(1.3, 525)), PIXEL_UM, 0.2)
    expected = operator(torch.from_numpy(counts.astype(np.float32) - offset)[None])[0, 0].numpy()
    np.testing.assert_allclose(image.data, expected, atol=1e-4 * np.abs(expected).max())  # float32
    assert expected.min() < 0
    kept = read_provenance(output)
    assert kept["wiener"] == 0.2 and len(kept["sim"]["directions"]) == 3
    with tifffile.TiffFile(output) as tif:
        assert re.search(r'<Image [^>]*Name="raw, reconstructed"', tif.ome_metadata or "")


def test_reconstruct_estimates_when_not_told(zs, raw, tmp_path):
    done = zs("sim", "reconstruct", raw, "-o", tmp_path / "out.ome.tif", *LENS, "--pixel-um", PIXEL_UM, "--background", 100)
    assert done.code == 0 and "(from the noise)" in done.out
    quiet = zs("sim", "reconstruct", raw, "-o", tmp_path / "out.ome.tif", *LENS, "--pixel-um", PIXEL_UM, "--quiet", "--overwrite")
    assert (quiet.code, quiet.out) == (0, "")


def test_frames_by_any_name_and_over_time(zs, counts, save, tmp_path):
    for axes in ("ZYX", "CYX", "TYX"):
        path = save(f"{axes}.ome.tif", counts, PIXEL_UM, axes=axes)
        facts = zs("sim", "estimate", path, "-o", tmp_path / f"{axes}.yaml", *LENS, "--background", 100, "--json").json
        assert len(facts["directions"]) == 3
    movie = save("movie.ome.tif", np.stack([counts, counts[:, ::-1], counts]), PIXEL_UM, axes="TZYX")
    one, all_times = tmp_path / "one.ome.tif", tmp_path / "all.ome.tif"
    for path, output in ((tmp_path / "ZYX.ome.tif", one), (movie, all_times)):
        assert zs("sim", "reconstruct", path, "-o", output, "--sim-parameters", tmp_path / "ZYX.yaml", "--wiener", 0.2).code == 0
    assert read(all_times).sizes == {"T": 3, "Y": 242, "X": 272}
    np.testing.assert_array_equal(read(all_times).data[2], read(one).data)


def test_the_other_order_is_told_and_then_taken(zs, counts, save, tmp_path):
    path = save("swapped.ome.tif", counts.reshape(3, 3, *counts.shape[1:]).swapaxes(0, 1).reshape(counts.shape), PIXEL_UM, axes="ZYX")
    command = ("sim", "estimate", path, "-o", tmp_path / "sim.yaml", *LENS, "--background", 100)
    assert "--order phase-direction" in zs(*command).error
    assert zs(*command, "--order", "phase-direction").code == 0
    assert read_parameters(tmp_path / "sim.yaml").order == "phase-direction"


def test_guesses_and_otf_files(zs, raw, shared, tmp_path):
    command = ("sim", "estimate", raw, "-o", tmp_path / "sim.yaml", "--pixel-um", PIXEL_UM, "--background", 100, "--overwrite")
    otf = shared / "realdata/sim/otf2d/TIRF488_cam1_0_z30_OTF2d.mrc"
    angles = ",".join(f"{direction.angle_deg + 180:.0f}" for direction in two_beams().directions)
    assert zs(*command, "--otf", otf, "--angles-deg", angles, "--period-um", 0.24).code == 0
    found = read_parameters(tmp_path / "sim.yaml")
    assert found.made_from["guess"] == {"angles_deg": [float(angle) for angle in angles.split(",")], "period_um": 0.24}
    assert found.made_from["optics"]["otf"] == str(otf)
    # an OTF that was used is found again without being named
    assert zs("sim", "reconstruct", raw, "-o", tmp_path / "out.ome.tif", "--sim-parameters", tmp_path / "sim.yaml").code == 0
    assert "leave out one" in zs(*command, "--otf", otf, "--na", 1.3).error


def test_what_is_refused(zs, raw, counts, save, tmp_path):
    command = ("sim", "estimate", raw, "-o", tmp_path / "sim.yaml", "--pixel-um", PIXEL_UM, "--background", 100)
    assert "--na and --wavelength-nm" in zs(*command).error
    assert "--phases" in zs(*command, *LENS, "--phases", 5).error
    assert "--order" in zs(*command, *LENS, "--order", "both").error
    assert "--angles-deg" in zs(*command, *LENS, "--angles-deg", "10;20;30").error
    assert "--period-um" in zs(*command, *LENS, "--period-um", 0.1).error
    assert ".png" in zs(*command, *LENS, "--plot", tmp_path / "sim.txt").error
    assert "--pixel-um" in zs("sim", "estimate", raw, "-o", tmp_path / "sim.yaml", *LENS).error
    assert "--pixel-um" in zs(*command[:5], "--pixel-um", 0.14, *LENS).error
    assert "9 raw frames" in zs(*command, *LENS, "--directions", 2).error
    assert "--axes TPYX" in zs("sim", "estimate", save("stack.ome.tif", np.stack([counts] * 2), axes="ZCYX"), *command[3:], *LENS).error
    constant = counts.copy()
    constant[7] = 100
    assert "1 of 9 planes are constant" in zs("sim", "estimate", save("lost.ome.tif", constant, axes="ZYX"), *command[3:], *LENS).error
    assert not (tmp_path / "sim.yaml").exists()
    assert zs(*command, *LENS).code == 0
    assert "--overwrite" in zs(*command, *LENS).error
    reconstruct = ("sim", "reconstruct", raw, "-o", tmp_path / "out.ome.tif", "--sim-parameters", tmp_path / "sim.yaml")
    assert "leave out --order" in zs(*reconstruct, "--order", "direction-phase").error
    assert "0.0626" in zs(*reconstruct, "--pixel-um", 0.08).error
    assert "--wiener" in zs(*reconstruct, "--wiener", 0).error
    settings = yaml.safe_load((tmp_path / "sim.yaml").read_text())
    (tmp_path / "sim.yaml").write_text(yaml.safe_dump(settings | {"directions": 3}))
    assert "sim estimate" in zs(*reconstruct).error
    assert not (tmp_path / "out.ome.tif").exists()


# stacks


DEEP_LENS = ("--na", 1.3, "--wavelength-nm", 525, "--immersion-ri", 1.406, "--excitation-nm", 1e3 * EXCITATION_UM)
DEEP = (*DEEP_LENS, "--phases", 5, "--background", 100)


@pytest.fixture(scope="module")
def stack():
    """Camera frames (frame z y x) under three beams: 200 photons, offset 100."""
    frames = record_stack(three_beams(), 200, np.random.default_rng(0), (7, 72, 76)).frames
    return np.rint(frames + 100).clip(0).astype(np.uint16)


def test_a_stack_of_nameless_pages(zs, stack, tmp_path):
    raw, parameters, output = (tmp_path / name for name in ("raw.tif", "sim.yaml", "out.ome.tif"))
    tifffile.imwrite(raw, Layout(3, 5, "direction-z-phase").pages(stack), photometric="minisblack")
    sizes = ("--pixel-um", DEEP_PIXEL_UM, "--z-um", DEEP_Z_UM)
    done = zs("sim", "estimate", raw, "-o", parameters, *DEEP, *sizes, "--order", "direction-z-phase")
    assert done.code == 0 and re.search(r"^direction 3 .* period 0\.22\d+ um, depth 1\.\d+ and 0\.\d+", done.out, re.MULTILINE)
    found = read_parameters(parameters)
    assert (found.order, found.z_um, found.orders) == ("direction-z-phase", DEEP_Z_UM, 2)
    assert found.made_from["optics"]["excitation_nm"] == pytest.approx(488)

    command = ("sim", "reconstruct", raw, "-o", output, "--sim-parameters", parameters, "--wiener", 0.01)
    assert zs(*command, "--json").json["wiener"] == 0.01
    image = read(output)
    assert image.axes == "ZYX" and image.sizes == {"Z": 7, "Y": 144, "X": 152} and image.data.dtype == np.float32
    assert [image.spacing_um[axis] for axis in "ZYX"] == pytest.approx([DEEP_Z_UM, DEEP_PIXEL_UM / 2, DEEP_PIXEL_UM / 2])
    operator = Reconstruct(found, detection_otf_3d(Optics(1.3, 525, 1.406), 488), DEEP_PIXEL_UM, 0.01)
    expected = operator(torch.from_numpy(stack.astype(np.float32) - 100)[None])[0, 0].numpy()
    np.testing.assert_allclose(image.data, expected, atol=1e-4 * np.abs(expected).max())  # float32
    assert "0.15" in zs(*command, "--z-um", 0.2, "--overwrite").error
    tifffile.imwrite(raw, Layout(3, 5, "direction-z-phase").pages(stack)[:-1], photometric="minisblack")
    assert re.search(r"104 raw frames: .*15 in each plane", zs(*command, "--overwrite").error)


def test_stacks_with_named_axes_and_over_time(zs, stack, save, tmp_path):
    pages = Layout(3, 5).pages(stack)
    flat = save("flat.ome.tif", pages, DEEP_PIXEL_UM, axes="ZYX")
    named = save("named.tif", np.moveaxis(stack, 0, 1), DEEP_PIXEL_UM, axes="ZCYX")
    movie = save("movie.ome.tif", np.stack([pages, pages]), DEEP_PIXEL_UM, axes="TZYX")
    images = []
    for path, axes in ((flat, ()), (named, ("--axes", "ZPYX")), (movie, ())):
        output = tmp_path / f"{path.stem}.out.tif"
        done = zs("sim", "reconstruct", path, "-o", output, *DEEP, *axes, "--pixel-um", DEEP_PIXEL_UM, "--z-um", DEEP_Z_UM)
        assert done.code == 0 and "(from the noise)" in done.out
        images.append(read(output))
    assert images[2].sizes == {"T": 2, "Z": 7, "Y": 144, "X": 152}
    for data in (images[1].data, images[2].data[0], images[2].data[1]):
        np.testing.assert_allclose(data, images[0].data, atol=1e-4 * np.abs(images[0].data).max())  # float32


def test_what_is_refused_of_stacks(zs, stack, save, shared, tmp_path):
    path = save("raw.ome.tif", Layout(3, 5).pages(stack), DEEP_PIXEL_UM, axes="ZYX")
    command = ("sim", "estimate", path, "-o", tmp_path / "sim.yaml", "--pixel-um", DEEP_PIXEL_UM)
    sized = (*command, "--z-um", DEEP_Z_UM)
    assert "--z-um" in zs(*command, *DEEP).error
    assert "105 planes" in zs(*sized, *DEEP_LENS[:4]).error  # three phases: no stack
    assert re.search("105 raw frames: 3 directions x 6 phases are 18", zs(*sized, *DEEP, "--phases", 6).error)
    assert "give --order z-direction-phase" in zs(*sized, *DEEP, "--order", "direction-z-phase").error
    flat, deep = shared / "realdata/sim/otf2d/TIRF488_cam1_0_z30_OTF2d.mrc", shared / "realdata/sim/threebeam_otf.dv"
    assert "for a stack under three beams" in zs(*sized, "--phases", 5, "--otf", flat).error
    assert "leave out one" in zs(*sized, "--phases", 5, "--otf", deep, "--excitation-nm", 488).error
    assert "--excitation-nm 0.488" not in zs(*sized, *DEEP[2:], "--na", 1.3, "--excitation-nm", 0.488).out
    plane = save("plane.ome.tif", stack[:9, 0], DEEP_PIXEL_UM, axes="ZYX")
    assert "it acts on stacks only" in zs("sim", "estimate", plane, *command[3:], *DEEP_LENS).error
    assert "a 2-D radial OTF" in zs("sim", "estimate", plane, *command[3:], "--otf", deep).error
    assert not (tmp_path / "sim.yaml").exists()
