"""OIF: the order of planes by the names of their files, missing planes, x-z scans. Files are written from the layout of the format."""

import numpy as np
import pytest
import tifffile

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.io import read

pytest.importorskip("oiffile")
RNG = np.random.default_rng(3)
AXES = {"X": ("um", 0.065, 0), "Y": ("um", 0.07, 0), "C": ("Ch", 1, 0), "Z": ("nm", -300, 300), "T": ("ms", 1500, 0), "L": ("nm", 5, 0)}
CHANNEL = """[Channel {n} Parameters]\nCH Name="CH{n}"\nDyeName="{dye}"\nEmissionWavelength={nm}
BF Name="{barrier}"\nExcitationWavelength=488\n"""
PLANE = """[Acquisition Parameters Common]\nConfocal="ON"\nMagnification=60.0\nObjectiveLens NAValue=1.35
ObjectiveLens Name="UPLSAPO   60X O NA:1.35"\n"""


def write(folder, sizes, data, barrier=""):
    """An OIF with the fastest axis first in `sizes`, and its planes in `data` by the numbers in their names."""
    text = '[Version Info]\nFileVersion="1.2.6.0"\n[Reference Image Parameter]\nValidBitCounts=12\n'
    text += f'[Axis Parameter Common]\nAxisCount={len(sizes)}\nAxisOrder="{"".join(sizes)}"\n'
    text += '[Acquisition Parameters Common]\nImageCaputreDate="2012-07-26 15:13:35"\n'
    for number, axis in enumerate([*sizes, *(axis for axis in "XYCZTLAPQ" if axis not in sizes)][:9]):
        unit, step, interval = AXES.get(axis, ("um", 1, 0))
        n = sizes.get(axis, 0)
        text += (
            f'[Axis {number} Parameters Common]\nAxisCode="{axis}"\nMaxSize={n}\nStartPosition=10.0\nEndPosition={10 + step * (n - 1)}\n'
        )
        text += f'UnitName="{unit}"\nInterval={interval}\n'
    for number in range(1, sizes.get("C", 1) + 1):
        text += CHANNEL.format(n=number, dye="None" if number > 1 else "EGFP", nm=0 if number > 1 else 510, barrier=barrier)
    text += '[ProfileSaveInfo]\nName="COFAImages"\nVersion="2.0.0.0"\n'
    path = folder / "a.oif"
    path.write_bytes(b"\xff\xfe" + text.replace("\n", "\r\n").encode("utf-16-le"))
    parts = folder / "a.oif.files"
    parts.mkdir()
    for name, plane in data.items():
        tifffile.imwrite(parts / f"s_{name}.tif", plane)
        (parts / f"s_{name}.pty").write_bytes(b"\xff\xfe" + PLANE.replace("\n", "\r\n").encode("utf-16-le"))
    return path


def plane(*shape):
    return RNG.integers(0, 4000, shape or (9, 13)).astype(np.uint16)


def test_planes_lie_where_their_names_say(tmp_path):
    data = {f"C{c:03}Z{z:03}T{t:03}": plane() for c in (1, 2) for z in (1, 2, 3) for t in (1, 2)}
    image = read(write(tmp_path, {"X": 13, "Y": 9, "C": 2, "Z": 3, "T": 2}, data))
    ordered = image.transposed("CZTYX").data
    for number, expected in enumerate(data.values()):
        np.testing.assert_array_equal(ordered.reshape(-1, 9, 13)[number], expected)
    assert image.spacing_um == pytest.approx({"Z": 0.3, "Y": 0.07, "X": 0.065})
    assert image.metadata["channels"] == ["EGFP", "CH2"]
    assert image.metadata["emission_nm"] == [510.0, None]
    assert image.metadata["interval_s"] == pytest.approx(1.5)
    assert image.metadata["acquired"] == "2012-07-26T15:13:35"
    assert image.metadata["optics"] == {"na": 1.35, "microscope": "confocal", "wavelength_nm": 510.0, "excitation_nm": 488.0}
    assert image.metadata["objective"]["magnification"] == 60


def test_a_missing_plane_is_told(tmp_path):
    data = {f"C{c:03}Z{z:03}": plane() for c in (1, 2) for z in (1, 2, 3)}
    data.pop("C002Z002")
    with pytest.raises(ImageError, match="5 of 6 planes are present"):
        read(write(tmp_path, {"X": 13, "Y": 9, "C": 2, "Z": 3}, data))


def test_an_xz_scan_does_not_pass_for_a_plane(tmp_path):
    path = write(tmp_path, {"X": 13, "Z": 9, "C": 1}, {"C001": plane()})
    with (
        pytest.warns(DataWarning, match="a scan without y, whose rows are depths or times"),
        pytest.raises(ImageError, match="the file does not say what the 9 planes"),
    ):
        read(path)


def test_without_its_folder(tmp_path):
    path = write(tmp_path, {"X": 13, "Y": 9, "C": 1}, {"C001": plane()})
    (tmp_path / "a.oif.files").rename(tmp_path / "elsewhere")
    with pytest.raises(ImageError, match=r"a.oif: damaged or cut short"):
        read(path)


@pytest.mark.parametrize(
    ("barrier", "expected"), [("BA505-525", 515.0), ("BA560IF", None), ("BA505-725", None), ("BA505-525/575-625", None), ("", None)]
)
def test_the_emission_without_a_dye_is_the_middle_of_the_barrier_filter(tmp_path, barrier, expected):
    path = write(tmp_path, {"X": 13, "Y": 9, "C": 2}, {"C001": plane(), "C002": plane()}, barrier)
    assert read(path).metadata["emission_nm"] == [510, expected]
