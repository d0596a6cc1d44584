"""LIF: which band, dye and laser belong to which channel. The elements are made as LAS writes them."""

from xml.etree import ElementTree

import pytest

from zsdeconv.io.metadata.leica_xml import Channel, channels_of, pinholes_au, windows_nm

BANDS = {"1": ("493", "541", "Leica/FITC"), "2": ("548", "556", ""), "3": ("618.4", "700", "None"), "4": ("700", "790", "Leica/Cy 5")}


def scan(on, lasers=(), bands=BANDS, more="", attributes=""):
    """The settings of a scan in which these detectors and lasers were on; 100 is the detector of transmitted light, without a band."""
    multi = "".join(f'<MultiBand Channel="{n}" LeftWorld="{a}" RightWorld="{b}" DyeName="{dye}"/>' for n, (a, b, dye) in bands.items())
    detectors = "".join(f'<Detector Name="PMT {n}" Channel="{n}" IsActive="{int(n in on)}"/>' for n in (*bands, "100"))
    lines = "".join(f'<LaserLineSetting LaserLine="{nm}" IntensityDev="{power}"/>' for nm, power in [*lasers, ("633", "0")])
    return (
        f"<ATLConfocalSettingDefinition {attributes}><Spectro>{multi}</Spectro><AotfList><Aotf>{lines}</Aotf></AotfList>"
        f"<DetectorList>{detectors}</DetectorList>{more}</ATLConfocalSettingDefinition>"
    )


def element(setting, count, attached="", properties=("",) * 9):
    channels = "".join(f'<ChannelDescription BytesInc="{number}">{properties[number]}</ChannelDescription>' for number in range(count))
    return ElementTree.fromstring(
        f"<Element><Data><Image><ImageDescription><Channels>{channels}</Channels></ImageDescription>"
        f"<Attachment Name='ChannelAttachment'>{attached}</Attachment>"
        f"<Attachment Name='HardwareSetting'>{setting}</Attachment></Image></Data></Element>"
    )


def band(start, end):
    ends = "".join(f'<Quantity Value="{value}" Unit="m"/>' for value in (start, end))
    return f'<Band>{ends}<Quantity Value="100" Unit="V"/></Band>'


def test_bands_are_those_of_the_detectors_that_were_on():
    found = channels_of(element(scan("13", [("488", "0.5")]), 2))
    assert found == [Channel("FITC", 517.0, 488.0), Channel("", 659.2, 488.0)]


def test_the_detector_of_transmitted_light_has_no_band():
    one, other = channels_of(element(scan(["1", "100"]), 2))
    assert (one.emission_nm, other.emission_nm) == (517.0, None)


def test_of_several_lasers_none_is_that_of_a_channel():
    assert [one.excitation_nm for one in channels_of(element(scan("13", [("488", "0.5"), ("552", "50")]), 2))] == [None, None]
    again = scan("1", [("488", "0.5"), ("488", "0.5")])  # repeated for the steps
    assert channels_of(element(again, 1))[0].excitation_nm == 488.0


def test_other_numbers_of_channels_say_nothing():
    assert channels_of(element(scan("123"), 2)) == []
    assert channels_of(element(scan("1").replace(' Name="PMT 1"', ""), 2)) == []
    assert channels_of(element("", 1)) == []
    assert channels_of(ElementTree.fromstring("<Element/>")) == []


def test_bands_beside_the_channels_are_taken_where_the_settings_do_not_fit():
    attached = band("5.1125e-7", "5.6375e-7") + band("-1", "-1")
    assert channels_of(element(scan("123"), 2, attached)) == [Channel(emission_nm=537.5), Channel()]
    assert channels_of(element(scan("123"), 3, attached))[0].dye == "FITC"
    assert channels_of(element("", 1, "<Band/>")) == []


def test_steps_of_a_sequential_scan_follow_each_other():
    master = f"<LDM_Block_Sequential_Master>{scan('1234')}</LDM_Block_Sequential_Master>"
    steps = scan("1", [("488", "2")]) + scan("34", [("561", "2")])
    block = f"<LDM_Block_Sequential>{master}<LDM_Block_Sequential_List>{steps}</LDM_Block_Sequential_List></LDM_Block_Sequential>"
    found = channels_of(element(scan("1234") + block, 3))
    assert found == [Channel("FITC", 517.0, 488.0), Channel("", 659.2, 561.0, step=1), Channel("Cy 5", 745.0, 561.0, step=1)]


def test_names_of_detectors_decide_where_the_channels_have_them():
    def named(detector, step):
        values = {"DetectorName": detector, "SequentialSettingIndex": step}
        return "".join(f"<ChannelProperty><Key>{key}</Key><Value>{value}</Value></ChannelProperty>" for key, value in values.items())

    properties = [named("PMT 4", "0"), named("PMT 1", "0")]
    assert [one.emission_nm for one in channels_of(element(scan("14"), 2, properties=properties))] == [745.0, 517.0]
    properties[0] = named("PMT 9", "0")
    assert [one.emission_nm for one in channels_of(element(scan("14"), 2, properties=properties))] == [517.0, 745.0]


@pytest.mark.parametrize("bad", [("0", "0"), ("x", "541"), ("541", "493"), ("450", "650"), ("-1", "10"), ("20", "90")])
def test_bands_that_say_no_wavelength(bad):
    assert channels_of(element(scan("1", bands={"1": (*bad, "Leica/FITC")}), 1)) == [Channel("FITC")]


@pytest.mark.parametrize(("exposure", "seconds"), [("0.05", 0.05), ("50 ms", 0.05), ("", None), ("50 counts", None)])
def test_channels_of_a_camera(exposure, seconds):
    info = f'<WideFieldChannelInfo EmissionWavelength="525" UserDefName="GFP" ExposureTime="{exposure}"/>'
    setting = (
        f"<ATLCameraSettingDefinition><WideFieldChannelConfigurator>{info}</WideFieldChannelConfigurator></ATLCameraSettingDefinition>"
    )
    assert channels_of(element(setting, 1)) == [Channel("GFP", 525.0, None, seconds)]
    assert channels_of(element(setting, 2)) == []


def test_windows_of_a_scan_of_wavelengths():
    def lambda_scan(mode):
        return scan("1", more=f'<LambdaDefinition LambdaDetectionBandWidth="10" LambdaDetectionBandWidthModeName="{mode}"/>')

    assert windows_nm(element(lambda_scan("ConstantBandWidth"), 1), [5.5e-7, 5.6e-7]) == [555.0, 565.0]
    assert windows_nm(element(lambda_scan("ExcitationRightFixed"), 1), [5.5e-7, 5.6e-7]) is None
    assert windows_nm(element(scan("1"), 1), [5.5e-7, 5.6e-7]) is None


def test_airy_units_are_those_of_the_wavelength_beside_them():
    green, red = Channel(emission_nm=500.0), Channel(emission_nm=600.0, step=1)
    stated = [scan("1", attributes=f'PinholeAiry="{au}" EmissionWavelengthForPinholeAiryCalculation="600"') for au in (0.5, 0.9)]
    assert pinholes_au(element(stated[0], 1), [green]) == pytest.approx([0.6])
    assert pinholes_au(element(stated[0], 1), []) == [0.5]
    steps = f"<LDM_Block_Sequential><LDM_Block_Sequential_List>{''.join(stated)}</LDM_Block_Sequential_List></LDM_Block_Sequential>"
    assert pinholes_au(element(scan("1") + steps, 2), [green, red]) == pytest.approx([0.6, 0.9])
    assert pinholes_au(element(scan("1", attributes='PinholeAiry="0.5"'), 1), [green]) == pytest.approx([0.58])
    assert pinholes_au(element(scan("1", attributes='Pinhole="1e-4"'), 1), [green]) == []
    assert pinholes_au(element("", 1), [green]) == []
