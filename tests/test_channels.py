"""Images of several channels: each has its own settings, model and results, which come back together."""

import numpy as np
import pytest

import zsdeconv as zs
from zsdeconv.channels import ChannelModels, PreparedChannels, prepare_channels
from zsdeconv.config import as_settings, resolve
from zsdeconv.errors import ConfigError, DataWarning, ImageError, UserError
from zsdeconv.image import Image, channel_names, channel_of, merged_channels

METADATA = {
    "channels": ["DAPI", "GFP", "Cy5"],
    "colours": [(0, 0, 255), (0, 255, 0), None],
    "emission_nm": [460.0, 525.0, 670.0],
    "optics": {"na": 1.3, "wavelength_nm": 460.0},
}


def picture(axes: str = "CYX", metadata: dict | None = None) -> Image:
    rng = np.random.default_rng(0)
    sizes = {"T": 2, "C": 3, "Y": 40, "X": 52}
    light = np.linspace(5, 200, 52) * np.linspace(1, 2, 3)[:, None, None]
    data = rng.poisson(np.broadcast_to(light[None], (2, 3, 40, 52))) + 100
    data = data if "T" in axes else data[0]
    order = [a for a in "TCYX" if a in axes]
    data = np.moveaxis(data, [order.index(a) for a in axes], range(len(axes)))
    assert data.shape == tuple(sizes[a] for a in axes)
    return Image(data, axes, {"Y": 0.065, "X": 0.065}, None, METADATA if metadata is None else metadata)


def config(**options):
    return resolve(as_settings({"steps": 2, "passes": 2, **options}))


def test_a_channel_and_what_is_said_of_it():
    image = picture()
    for number, nm in enumerate((460.0, 525.0, 670.0)):
        channel = channel_of(image, number)
        np.testing.assert_array_equal(channel.data, image.data[number])
        assert channel.axes == "YX"
        assert channel.metadata["optics"] == {"na": 1.3, "wavelength_nm": nm}
    assert "colours" not in channel_of(image, 2).metadata
    np.testing.assert_array_equal(channel_of(picture("YXC"), 1).data, image.data[1])
    unknown = channel_of(picture(metadata={"optics": {"na": 1.3, "wavelength_nm": 460.0}}), 1)
    assert unknown.metadata["optics"] == {"na": 1.3}, "the wavelength of another channel is not its own"


def test_names_of_channels():
    assert channel_names(picture()) == ["DAPI", "GFP", "Cy5"]
    assert channel_names(picture(metadata={"channels": ["a", "b"]})) == ["channel 1", "channel 2", "channel 3"]
    assert channel_names(picture(metadata={"channels": ["a", "", "a"]})) == ["a", "channel 2", "a 3"]


def test_channels_are_merged_before_the_spatial_axes():
    image = picture("TCYX")
    merged = merged_channels([channel_of(image, number) for number in range(3)], {})
    assert merged.axes == "TCYX"
    np.testing.assert_array_equal(merged.data, image.data)


@pytest.mark.parametrize(("options", "nm"), [({}, [460, 525, 670]), ({"wavelength_nm": (461.0, 526.0, 671.0)}, [461, 526, 671])])
def test_each_channel_has_its_own_wavelength(options, nm):
    prepared = prepare_channels([picture()], config(**options))
    assert isinstance(prepared, PreparedChannels)
    assert list(prepared.channels) == ["DAPI", "GFP", "Cy5"]
    assert [each.acquisition.optics.wavelength_nm for each in prepared.channels.values() if each.acquisition.optics] == nm


@pytest.mark.parametrize(("wanted", "names"), [(("2",), ["GFP"]), (("Cy5", "1"), ["Cy5", "DAPI"]), (("3", "GFP"), ["Cy5", "GFP"])])
def test_channels_are_chosen_by_number_or_name(wanted, names):
    prepared = prepare_channels([picture()], config(channel=wanted))
    assert isinstance(prepared, PreparedChannels)
    assert list(prepared.channels) == names
    for name, each in prepared.channels.items():
        np.testing.assert_array_equal(each.frames[0], picture().data[METADATA["channels"].index(name)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channel": ("4",)}, r"`channel` 4: the image has 3 channels \(1 'DAPI', 2 'GFP', 3 'Cy5'\); give one of these"),
        ({"channel": ("0",)}, "`channel` 0: the image has 3 channels"),
        ({"channel": ("RFP",)}, "`channel` RFP"),
        ({"channel": ("1", "DAPI")}, "a channel is named twice"),
        ({"wavelength_nm": (460.0, 525.0)}, "`wavelength_nm` has 2 entries, 3 channels are restored; give one for each"),
        ({"wavelength_nm": 525.0}, "`wavelength_nm` has 1 entry, 3 channels are restored"),
        ({"wavelength_nm": (460.0, 525.0), "channel": ("1",)}, "`wavelength_nm` has 2 entries, 1 channels? (is|are) restored"),
    ],
)
def test_settings_that_do_not_fit_the_channels(options, said):
    with pytest.raises(UserError, match=said):
        prepare_channels([picture()], config(**options))


def test_lists_for_an_image_of_one_channel():
    plane = channel_of(picture(), 0)
    with pytest.raises(ConfigError, match="`wavelength_nm` has 2 entries, the image has 1 channel"):
        prepare_channels([plane], config(wavelength_nm=(460.0, 525.0)))
    with pytest.raises(ConfigError, match="`channel` 2: the image has 1 channel; leave it out"):
        prepare_channels([plane], config(channel=("2",)))
    assert not isinstance(prepare_channels([plane], config(channel=("1",), wavelength_nm=(460.0,))), PreparedChannels)


def test_a_fault_names_its_channel():
    metadata = {**METADATA, "emission_nm": [460.0, None, 670.0]}
    with pytest.raises(UserError, match=r"^GFP: .*emission wavelength"):
        prepare_channels([picture(metadata=metadata)], config())


def test_what_is_told_names_its_channel():
    image = picture()
    image.data[1, 7, 9] = 60000
    with pytest.warns(DataWarning, match="^GFP: 1 hot, dead or lost pixels"):
        prepare_channels([image], config())


@pytest.mark.parametrize("axes", ["CYX", "TCYX", "YXC"])
def test_results_hold_all_channels_and_the_model_file_too(axes, tmp_path):
    image = picture(axes)
    result = zs.restore(image, steps=2, passes=2)
    expected = "TCYX" if "T" in axes else "CYX"
    assert result.denoised.axes == result.deconvolved.axes == expected
    assert result.deconvolved.sizes["C"] == 3
    assert len(repr(result)) < 1000 and len(repr(result.model)) < 1000, "what an interpreter shows is read by people"
    assert result.deconvolved.sizes["X"] == 104
    assert result.denoised.metadata["channels"] == ["DAPI", "GFP", "Cy5"]
    assert result.denoised.metadata["colours"] == [(0, 0, 255), (0, 255, 0), None]
    assert result.denoised.metadata["emission_nm"] == [460.0, 525.0, 670.0]

    model = zs.load(result.model.save(tmp_path / "cell.zsd"))
    assert isinstance(model, ChannelModels)
    assert list(model.models) == ["DAPI", "GFP", "Cy5"]
    assert model.config.optics.wavelength_nm is None
    again = model.predict(image)
    np.testing.assert_array_equal(again.deconvolved.data, result.model.predict(image).deconvolved.data)
    assert again.deconvolved.axes == expected
    with pytest.raises(ImageError, match=r"1 channels, the model has 3 \(DAPI, GFP, Cy5\)"):
        model.predict(channel_of(image, 0))


def test_a_channel_is_restored_as_it_would_be_alone():
    image = picture()
    together = zs.restore(image, steps=2, passes=2, channel=("GFP",))
    alone = zs.restore(channel_of(image, 1), steps=2, passes=2)
    np.testing.assert_array_equal(together.deconvolved.data[0], alone.deconvolved.data)


def test_one_page_with_a_tab_a_channel():
    from zsdeconv.report.page.report import ChannelReport, Report, render
    from zsdeconv.report.section import Section

    parts = {name: Report(f"cell, {name}", [Section("flux", "Brightness", f"Is {name} kept?")]) for name in ("DAPI", "<b>")}
    page = render(ChannelReport("cell.tif", parts))
    assert page.count("data-tab=") == 2
    assert page.count("data-channel") >= 2
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert len({part.split('"')[0] for part in page.split('id="check-')[1:]}) == 2, "anchors are different"
    assert "data-tab=" not in render(parts["DAPI"])
