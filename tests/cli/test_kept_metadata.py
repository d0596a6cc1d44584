"""What a recording says of itself comes out again with its results, on the grid of each of them."""

import json
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import numpy as np
import ome_types
import pytest
import tifffile
import yaml

import zsdeconv as zs
from zsdeconv.config import resolve
from zsdeconv.config.tree import to_yaml
from zsdeconv.errors import DataWarning
from zsdeconv.prepare import prepare
from zsdeconv.results import Predicted, write_images

pytestmark = pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning")  # so small an image says little about its camera

METADATA = {
    "name": "cell.nd2",
    "scene": "well B3",
    "image_name": "cell",
    "channels": ["tubulin"],
    "colours": [(0, 255, 0)],
    "emission_nm": [525.0],
    "excitation_nm": [488.0],
    "exposure_s": [0.03],
    "optics": {"na": 1.3, "wavelength_nm": 525.0, "immersion_ri": 1.406, "microscope": "widefield", "sample_ri": 1.36},
    "objective": {"model": "UPLSAPO 60x", "magnification": 60.0, "na": 1.3, "immersion": "Silicone oil", "medium": "Other"},
    "acquired": "2023-05-04T12:34:56",
    "interval_s": 0.5,
    "times_s": [0.0, 0.5, 1.25],
    "stage_um": {"Z": 3.5, "Y": -120.0, "X": 77.25},
}
KINDS = {"denoised": 1, "deconvolved": 2, "uncertainty": 2}
"""Images of a restoration, and how much finer their pixels are."""


@pytest.fixture(scope="module")
def restored() -> zs.Restored:
    light = np.random.default_rng(1).gamma(2, 20, (3, 35, 42))
    movie = np.random.default_rng(2).poisson(light) + 100
    image = zs.Image(movie.astype(np.uint16), "TYX", {"Y": 0.065, "X": 0.07}, metadata=METADATA)
    return zs.restore(image, zs.Optics(na=1.3, wavelength_nm=525, immersion_ri=1.406), steps=2, passes=2, background=100)


def test_a_restoration_changes_no_metadata(restored: zs.Restored) -> None:
    assert set(restored.images()) == set(KINDS)
    for kind, image in restored.images().items():
        assert image.metadata == {**METADATA, "kind": kind}


@pytest.mark.parametrize(("kind", "finer"), KINDS.items())
def test_results_hold_what_the_recording_said(restored: zs.Restored, tmp_path, kind, finer) -> None:
    path = tmp_path / f"cell_{kind}.ome.tif"
    assert path in write_images(Predicted(tmp_path, "cell"), restored, {"seed": 0}, overwrite=False)
    with tifffile.TiffFile(path) as tif:
        text = tif.ome_metadata or ""
    whole: Any = ome_types.from_xml(text.encode(), validate=True)
    image, pixels, objective = whole.images[0], whole.images[0].pixels, whole.instruments[0].objectives[0]
    assert image.name == f"cell, {kind}"
    assert image.acquisition_date == datetime(2023, 5, 4, 12, 34, 56)
    assert (image.stage_label.name, image.stage_label.y) == ("well B3", -120)
    assert (pixels.size_t, pixels.size_y, pixels.size_x) == (3, 35 * finer, 42 * finer)
    assert (pixels.physical_size_y, pixels.physical_size_x) == (0.065 / finer, 0.07 / finer)
    assert (pixels.time_increment, [plane.delta_t for plane in pixels.planes]) == (0.5, METADATA["times_s"])
    assert {(plane.position_x, plane.position_y, plane.position_z, plane.exposure_time) for plane in pixels.planes} == {
        (77.25, -120, 3.5, 0.03)
    }
    (channel,) = pixels.channels
    assert (channel.name, channel.emission_wavelength, channel.excitation_wavelength) == ("tubulin", 525, 488)
    assert (channel.color.as_rgb_tuple(alpha=False), channel.acquisition_mode.value) == ((0, 255, 0), "WideField")
    assert (objective.lens_na, objective.nominal_magnification, objective.model) == (1.3, 60, "UPLSAPO 60x")
    assert (objective.immersion.value, image.objective_settings.refractive_index) == ("Other", 1.406)
    entries = ElementTree.fromstring(text).iterfind(".//{*}MapAnnotation/{*}Value/{*}M")
    annotated = {entry.attrib["K"]: json.loads(entry.text or "") for entry in entries}
    assert annotated["kind"] == kind and annotated["provenance"] == {"seed": 0}
    assert annotated["metadata"] == {key: METADATA[key] for key in ("name", "optics", "objective")}


def test_results_hold_the_optics_that_were_given() -> None:
    """Of one channel and of several, whose light differs; a size of pixels that contradicts the file is told."""
    frames = (np.random.default_rng(3).poisson(20, (2, 33, 36)) + 100).astype(np.uint16)
    spacing = {"Y": 0.065, "X": 0.065}
    options: dict[str, Any] = {"steps": 2, "passes": 2, "background": 100, "na": 1.3, "immersion_ri": 1.406}
    lens = {"na": 1.3, "immersion_ri": 1.406}
    plane = zs.restore(zs.Image(frames[0], "YX", spacing), wavelength_nm=525, **options)
    assert plane.denoised.metadata["optics"] == {**lens, "wavelength_nm": 525}
    with pytest.warns(DataWarning, match=r"pixel_um 0\.08 along Y was given, the file has 0\.065: the former is used"):
        both = zs.restore(zs.Image(frames, "CYX", spacing), wavelength_nm=(525, 605), pixel_um=0.08, **options)
    assert both.denoised.metadata["optics"] == lens and both.denoised.metadata["emission_nm"] == [525, 605]


def test_a_stored_configuration_repeats_what_the_file_says_of_the_microscope() -> None:
    frame = (np.random.default_rng(4).poisson(20, (33, 36)) + 100).astype(np.uint16)
    said = {"optics": {"na": 1.3, "wavelength_nm": 525.0, "immersion_ri": 1.406, "microscope": "confocal", "pinhole_au": 1.3}}
    image = zs.Image(frame, "YX", {"Y": 0.065, "X": 0.065}, metadata=said)
    first = prepare([image], resolve({}))
    again = prepare([image], resolve({}, yaml.safe_load(to_yaml(first.config))))
    assert first.acquisition.optics == again.acquisition.optics and "confocal" in again.acquisition.psf.source
