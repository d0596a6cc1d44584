"""The configuration: who wins, what is refused and how, and a file that repeats a run."""

import re
from pathlib import Path

import pytest
import yaml

from zsdeconv.config import OPTIONS, PRESETS, SETTINGS, Config, as_settings, read_config, resolve, specialised, to_yaml
from zsdeconv.errors import ConfigError


def test_options_win_over_the_file_and_the_file_over_the_preset() -> None:
    file = {"preset": "paper", "training": {"steps": 700, "batch": 3}, "scale": 1}
    config = resolve({"training": {"steps": 900}}, file)
    assert (config.preset, config.training.steps, config.training.batch, config.scale) == ("paper", 900, 3, 1)
    assert config.training.patch_px == 160 and config.network.kind == "unet"  # of the preset
    assert config.loss.mu == 0.5  # of nobody


def test_the_preset_of_the_options_wins_over_that_of_the_file() -> None:
    assert resolve({"preset": "fast"}, {"preset": "paper"}).network.kind == "fast"


def test_none_means_not_given() -> None:
    assert resolve({"optics": {"na": None}, "scale": None}, {"optics": {"na": 1.2}, "scale": 1}) == resolve(
        {}, {"optics": {"na": 1.2}, "scale": 1}
    )


def test_a_budget_in_the_options_replaces_the_other_one_of_the_file() -> None:
    assert resolve({"training": {"steps": 50}}, {"training": {"minutes": 5.0}}).training.minutes is None
    assert resolve({"training": {"minutes": 2.0}}, {"training": {"steps": 50}}).training.minutes == 2.0
    assert resolve({"training": {"batch": 2}}, {"training": {"minutes": 5.0}}).training.minutes == 5.0


@pytest.mark.parametrize("preset", PRESETS)
def test_yaml_repeats_the_run(preset: str, tmp_path: Path) -> None:
    config = resolve({"preset": preset, "seed": 2**62, "optics": {"na": 1.1, "psf": "µ.tif"}, "pairs": {"alpha": (1.0, 1.5)}})
    path = tmp_path / "cell_config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert resolve({}, read_config(path)) == config


def test_the_configuration_is_frozen_and_whole() -> None:
    config = resolve({})
    with pytest.raises(ValueError, match="frozen"):
        config.scale = 1
    assert set(yaml.safe_load(to_yaml(config))) == set(Config.model_fields)


REFUSED = {
    "unknown section": ({"optic": {}}, r"unknown configuration key 'optic'"),
    "unknown key": ({"optics": {"Na": 1.4}}, r"unknown configuration key 'optics\.Na' \(1\.4\); known ones are in"),
    "out of range": ({"optics": {"na": -1}}, r"optics\.na = -1: .*greater than 0; correct it"),
    "not a number": ({"optics": {"na": "high"}}, r"optics\.na = 'high': .*number"),
    "not finite": ({"optics": {"na": float("inf")}}, r"optics\.na = inf: .*finite"),
    "zero steps": ({"training": {"steps": 0}}, r"training\.steps = 0: .*greater than or equal to 1"),
    "zero minutes": ({"training": {"minutes": 0}}, r"training\.minutes = 0: .*greater than 0"),
    "fraction of a step": ({"training": {"steps": 2.5}}, r"training\.steps = 2\.5: .*integer"),
    "scale": ({"scale": 3}, r"scale = 3: .*1 or 2"),
    "preset": ({"preset": "best"}, r"preset 'best': it must be one of fast, quality, paper|preset 'best'"),
    "two lenses": ({"optics": {"psf": "a.tif", "otf": "b.mrc"}}, r"both a PSF and an OTF file.*leave out `psf` or `otf`"),
    "range backwards": ({"pairs": {"alpha": (2.0, 1.0)}}, r"alpha 2\.0-1\.0: .*swap them"),
    "alpha of zero": ({"pairs": {"alpha": (0.0, 1.0)}}, r"pairs\.alpha\.0 = 0\.0: .*greater than 0"),
    "no channels": ({"network": {"channels": (0, 8)}}, r"network\.channels\.0 = 0"),
    "one level": ({"network": {"channels": (8,)}}, r"network\.channels = \(8,\): .*at least 2"),
    "tile": ({"prediction": {"tile": 8}}, r"prediction\.tile = 8: .*greater than or equal to 32"),
    "overlap": ({"prediction": {"overlap": -1}}, r"prediction\.overlap = -1"),
    "passes": ({"prediction": {"passes": -1}}, r"prediction\.passes = -1"),
    "seed": ({"seed": -1}, r"seed = -1"),
    "long": ({"optics": {"na": "x" * 500}}, r"optics\.na = 'x{76}\.\.\.: "),
    "section is a list": ({"optics": [1]}, r"optics = \[1\]"),
    "background": ({"input": {"background": "dark"}}, r"input\.background"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_value_limit_and_action_in_one_line(name: str) -> None:
    options, pattern = REFUSED[name]
    for how in ((options, None), ({}, options)):
        with pytest.raises(ConfigError) as caught:
            resolve(*how)
        message = str(caught.value)
        assert re.search(pattern, message), message
        assert "\n" not in message and "pydantic" not in message
        assert len(message) < 250


def test_every_setting_with_a_flat_name_stands_once_in_the_tree() -> None:
    flat = {
        "": ["modality", "preset", "scale", "device", "seed", "report"],
        "input": [
            *("axes", "pixel_um", "z_um", "scan_angle_deg", "scan_step_um", "scan_reverse"),
            *("channel", "scene", "background", "detector", "camera", "crop"),
        ],
        "optics": [
            *("na", "wavelength_nm", "immersion_ri", "pupil", "psf", "otf", "psf_pixel_um", "psf_z_um"),
            *("microscope", "sheet_um", "pinhole_au", "excitation_nm", "sample_ri", "depth_um"),
        ],
        "sim": ["directions", "phases", "order", "angles_deg", "period_um", "sim_parameters", "per_frame", "wiener", "reconstructed"],
        "pairs": ["pairs"],
        "training": ["steps", "minutes", "ensemble"],
        "prediction": ["tile", "overlap", "batch", "deskew", "passes", "destripe", "stripe_width_um", "stripe_length_um"],
    }
    renamed = {"sim_parameters": "sim.parameters", "pairs": "pairs.kind"}
    expected = {name: renamed.get(name, f"{section}.{name}".strip(".")) for section, names in flat.items() for name in names}
    assert expected == SETTINGS


def test_a_setting_says_what_it_is_and_under_which_heading() -> None:
    for name, option in OPTIONS.items():
        phrase = option.setting.phrase(option.default)
        assert option.group and phrase[0] != " " and not phrase.endswith("."), name
        assert not (name.endswith("_um") or name.endswith("_nm")) or "metres" in option.setting.unit, name
    assert OPTIONS["pixel_um"].setting.phrase(None) == "pixel size in the sample, micrometres [default: from the file]"
    assert OPTIONS["stripe_length_um"].setting.phrase(10.0) == "shortest stripe, micrometres [default: 10]"


def test_flat_options_become_sections() -> None:
    settings = as_settings({"na": 1.4, "psf": Path("a/b.tif"), "seed": None, "minutes": 2.0, "scale": 1})
    assert settings == {"optics": {"na": 1.4, "psf": str(Path("a/b.tif"))}, "training": {"minutes": 2.0}, "scale": 1}


def test_unknown_options_and_two_budgets_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown option 'lambda'; known ones are .*na"):
        as_settings({"lambda": 0.1})
    with pytest.raises(ConfigError, match=r"both `steps=5` and `minutes=1\.5`: .*leave out one"):
        as_settings({"steps": 5, "minutes": 1.5})


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"- 1\n- 2\n", "holds no sections"),
        (b"", "holds no sections"),
        (b"a: [1", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, pattern: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=pattern) as caught:
        read_config(path)
    assert "\n" not in str(caught.value) and "a.yaml" in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*check `config`"):
        read_config(tmp_path / "none.yaml")


def test_what_was_changed_after_resolving_is_not_undone_for_a_modality() -> None:
    table = {"fast": {"training": {"batch": 2, "patch_px": 48}}}
    changed = resolve({"training": {"steps": 100}}).model_copy(update={"scale": 1, "seed": 5})
    special = specialised(changed, table)
    assert (special.scale, special.seed, special.training.steps, special.training.batch) == (1, 5, 100, 2)
    assert specialised(special, {}) == special
    assert specialised(resolve({"training": {"batch": 8}}), table).training.batch == 8  # the default, but given
