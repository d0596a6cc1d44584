"""The report in a browser: it asks no network for anything, runs nothing that came from a file, and shows all its pictures."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import zsdeconv as zs
from zsdeconv.config import resolve
from zsdeconv.findings import Finding
from zsdeconv.report.checks import brightness, convergence
from zsdeconv.report.page.report import Report, write_report
from zsdeconv.report.section import CaptionedFigure, Section
from zsdeconv.simulation.widefield import Scene, simulate_2d

if sys.platform == "win32":
    pytest.skip("the browser is spoken to through POSIX pipes", allow_module_level=True)

from report.browser import FOUND, Browser, browser

pytestmark = [
    pytest.mark.skipif(FOUND is None, reason="no Chromium found"),
    pytest.mark.filterwarnings("ignore::zsdeconv.errors.DataWarning"),  # so small an image says little about its camera
]
EVIL = "<img src=x onerror=\"document.title='taken'\"></title></script><script>document.title='taken'</script>\n\u202e.tif"


@pytest.fixture(scope="module")
def real() -> Report:
    """Of a restoration that took a second."""
    scene = Scene(structure="vesicles", photons=30, size=48, seed=4)
    settings = {
        "training": {"patch_px": 24, "batch": 2, "steps": 8, "validate_every": 2},
        "network": {"channels": (4, 8)},
        "device": "cpu",
    } | {"prediction": {"passes": 2}}
    noisy = simulate_2d(scene).noisy
    restored = zs.restore(noisy, scene.optics, config=resolve({}, settings))
    model = restored.model
    reblurred = model.acquisition.forward_operator(torch.from_numpy(restored.deconvolved.data)[None, None])[0, 0].numpy()
    flux = brightness.measure(reblurred, restored.denoised.data)
    sections = [brightness.section(flux), convergence.section(convergence.measure(model.history))]
    images = {"raw": replace(noisy, offset=model.camera.offset), **restored.images()}
    return Report("cell.tif", sections, images, model.config.model_dump(mode="json"), model.provenance, restored_at="2026-01-01 12:00")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


def show(opened: Browser, report: Report, folder: Path, **how: Any) -> None:
    opened.open(write_report(folder / "cell_report.html", report), **how)


@pytest.mark.parametrize("how", [{"width_px": 1200}, {"width_px": 360}, {"width_px": 1200, "dark": True}])
def test_a_real_report(opened: Browser, real: Report, tmp_path: Path, how: dict[str, Any]) -> None:
    show(opened, real, tmp_path, **how)
    assert opened.complaints() == [] and opened.requests() == []
    assert opened.value("document.title") == "cell.tif: restoration report"
    assert 800 < opened.value("document.documentElement.scrollHeight") < 10 * 900
    assert opened.value("document.documentElement.scrollWidth") <= how["width_px"], "nothing sticks out"
    assert opened.value("Promise.all([...document.images].map(image => image.decode())).then(() => true)")
    sizes = opened.value("[...document.images].map(image => [image.naturalWidth, image.width])")
    assert len(sizes) == 2 + 2 * 4 + 2, "before and after, four panels twice, two plots"
    assert all(natural > 0 and shown > 0 for natural, shown in sizes)


def test_scale_bar_is_true_on_the_screen(opened: Browser, real: Report, tmp_path: Path) -> None:
    """48 pixels of the scene's size are as wide as the picture; the bar is 1 um of that."""
    show(opened, real, tmp_path)
    told = opened.value("document.querySelector('.panels .bar text').textContent")
    shares = opened.value(
        "(() => { const view = document.querySelector('.panels .view'), bar = view.querySelector('.bar rect');"
        " return bar.getBoundingClientRect().width / view.querySelector('img').getBoundingClientRect().width })()"
    )
    number, unit = told.split()
    um = float(number) * {"µm": 1.0, "nm": 1e-3}[unit]
    assert shares == pytest.approx(um / (48 * real.images["raw"].spacing_um["X"]), rel=1e-3)


def test_the_slider_uncovers_the_picture_before(opened: Browser, real: Report, tmp_path: Path) -> None:
    show(opened, real, tmp_path)
    assert opened.value("document.querySelector('.compare input').hidden") is False
    opened.value("(s => { s.value = 80; s.dispatchEvent(new Event('input')) })(document.querySelector('.compare input'))")
    clip = opened.value("getComputedStyle(document.querySelector('.compare .before')).clipPath")
    assert "20%" in clip


def test_folded_checks_open_with_the_keyboard_and_from_a_link(opened: Browser, real: Report, tmp_path: Path) -> None:
    many = [replace(real.sections[0], findings=[Finding("warn", "flux_slope", 1.0, 1.0, "off")]) for _ in range(6)]
    show(opened, replace(real, sections=many), tmp_path)
    folds = "[...document.querySelectorAll('details.check')]"
    assert opened.value(f"{folds}.map(fold => fold.open)") == [True] * 3 + [False] * 3
    opened.value(f"{folds}[5].querySelector('summary').focus()")
    for kind in ("keyDown", "keyUp"):
        opened.ask("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r" if kind == "keyDown" else "")
    assert opened.value(f"{folds}[5].open") is True
    opened.value("document.querySelector('.leads a[href=\"#check-5\"]').click()")
    assert opened.value(f"new Promise(done => setTimeout(() => done({folds}[4].open), 200))") is True
    opened.value("dispatchEvent(new Event('beforeprint'))")
    assert opened.value("[...document.querySelectorAll('details')].every(fold => fold.open)"), "paper cannot be unfolded"


@pytest.mark.parametrize("width_px", [1280, 400])
def test_terms_are_explained_on_focus_and_touch(opened: Browser, real: Report, tmp_path: Path, width_px: int) -> None:
    show(opened, real, tmp_path, width_px=width_px)
    told = opened.value("(term => { term.focus(); return term.title })(document.querySelector('abbr'))")
    shown = "getComputedStyle(document.activeElement, '::after')"
    assert told and told in opened.value(f"{shown}.content").replace('\\"', '"') and opened.value(f"{shown}.position") == "fixed"
    assert opened.value("document.documentElement.scrollWidth") <= width_px
    assert opened.value("[...document.querySelectorAll('a abbr, summary abbr, button abbr')].length") == 0, "one thing to press at a time"
    opened.ask("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape")
    assert opened.value("document.activeElement.tagName") == "BODY"


def test_without_scripts_half_of_each_is_seen(opened: Browser, real: Report, tmp_path: Path) -> None:
    opened.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        show(opened, real, tmp_path)
        assert opened.value("document.querySelector('.compare input').hidden") is True
        assert "50%" in opened.value("getComputedStyle(document.querySelector('.compare .before')).clipPath")
    finally:
        opened.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_hostile_texts_run_nothing(opened: Browser, real: Report, tmp_path: Path) -> None:
    bad = Section(EVIL, EVIL, EVIL, [Finding("fail", EVIL, 1.0, 1.0, EVIL)], {EVIL: EVIL}, [CaptionedFigure(EVIL, lambda figure: None)])
    raw = real.images["raw"]
    show(opened, Report(EVIL, [bad], {"raw": raw, EVIL: raw}, {EVIL: EVIL}, {"sources": {EVIL: EVIL}}, EVIL, EVIL), tmp_path)
    assert opened.complaints() == [] and opened.requests() == []
    assert opened.value("document.title").startswith("<img src=x onerror=")
    assert opened.value("document.scripts.length") == 1
    assert opened.value("[...document.images].every(image => image.src.startsWith('data:image/png;'))")


def test_the_policy_stops_what_escaping_might_miss(opened: Browser, real: Report, tmp_path: Path) -> None:
    """A page into which somebody wrote: neither script, nor handler, nor style, nor request gets through."""
    path = write_report(tmp_path / "cell_report.html", real)
    loose = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"><img src=http://127.0.0.1:9/a.png>"
    path.write_text(path.read_text(encoding="utf-8").replace("<main>", f"<main>{loose}"), encoding="utf-8")
    opened.open(path)
    assert opened.value("document.title") == "cell.tif: restoration report"
    assert any("Content Security Policy" in complaint for complaint in opened.complaints())
    assert not any(event.get("method") == "Network.responseReceived" and "127.0.0.1" in str(event) for event in opened.events)
