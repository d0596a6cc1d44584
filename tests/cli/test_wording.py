"""The library speaks of arguments, the command line of options."""

import warnings

import pytest

from zsdeconv.cli import outcome
from zsdeconv.cli.app import app
from zsdeconv.cli.scene_options import SCENE_OPTIONS
from zsdeconv.cli.wording import NOT_SETTINGS, flag_of, with_options
from zsdeconv.config import OPTIONS
from zsdeconv.errors import DataWarning, ImageError

TRANSLATED = {
    "an argument": ("give `na`, or check `axes`", "give --na, or check --axes"),
    "a value": ("0.15 um: too coarse; give `scale=2`", "0.15 um: too coarse; give --scale 2"),
    "a word": ("give `microscope='confocal'`", "give --microscope confocal"),
    "a flag": ("give `reconstructed=True`", "give --reconstructed"),
    "no flag": ("give `report=False`", "give --no-report"),
    "a key of the configuration": ("`training.steps` is 3, `pairs.kind=auto`", "--steps is 3, --pairs auto"),
    "another name": ("`sim.parameters`", "--sim-parameters"),
    "no backticks": ("give pixel_um (um in the sample)", "give --pixel-um (um in the sample)"),
    "end of a sentence": ("check psf_pixel_um.", "check --psf-pixel-um."),
    "no setting": ("compare with `resolution_um`; give `resume=True`", "compare with --resolution-um; give --resume"),
    "of a simulation": ("`read_noise` 1e9 is outside", "--read-noise 1e9 is outside"),
}
KEPT = [
    "give --pixel-um or --na",
    "see `zsdeconv run --help`",
    "`loss.gamma` has no effect",
    "the na of the objective, steps of 3",
    "pixel_um.tif: no such file; cell_config.yaml",
    "/data/z_um/a.tif, 'z_um', optics.psf_z_um = 3, pixel_um(x)",
    "soft_psnr 3, x_pixel_um",
]


@pytest.mark.parametrize("name", TRANSLATED)
def test_arguments_become_options(name):
    message, expected = TRANSLATED[name]
    assert with_options(message) == expected


@pytest.mark.parametrize("message", KEPT)
def test_everything_else_stays(message):
    assert with_options(message) == message


def test_errors_and_warnings_are_shown_in_options(capsys):
    def action():
        warnings.warn("pixels are coarse; give `scale=2`", DataWarning, stacklevel=1)
        raise ImageError("pixel size is missing; give pixel_um")

    assert outcome.exit_code_of(action, ["run"]) == 2
    assert capsys.readouterr().err == "warning: pixels are coarse; give --scale 2\nerror: pixel size is missing; give --pixel-um\n"


def test_every_name_that_is_translated_is_an_option_of_some_verb():
    known = set()
    for verb in (app[name] for name in app if not name.startswith("-")):
        for page in (verb, *(verb[name] for name in verb if not name.startswith("-"))):
            if page.default_command is not None:
                known |= {name for argument in page.assemble_argument_collection() for name in argument.names}
    assert {flag_of(name) for name in (*OPTIONS, *SCENE_OPTIONS, *NOT_SETTINGS)} <= known


def test_a_setting_that_is_out_of_range_is_named_as_it_was_given(zs, save, frame, tmp_path):
    cell, out = save("cell.tif", frame), tmp_path / "out"
    assert zs("run", cell, "-o", out, "--tile", 3).error == "--tile 3: input should be greater than or equal to 32; give another --tile"
    (tmp_path / "a.yaml").write_text("optics: {na: -1}")
    error = zs("run", cell, "-o", out, "--config", tmp_path / "a.yaml").error
    assert error == "optics.na = -1: input should be greater than 0; correct it, as an argument or in --config"
