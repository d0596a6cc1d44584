"""The page in a browser: no network, no complaints, and what is seen: one scale, divider, zoom with its bar, planes, times, channels."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from viewer.results import PIXEL_UM, make_result, steps
from zsdeconv.viewer.contents import contents_of
from zsdeconv.viewer.finding import find_results
from zsdeconv.viewer.viewer_page import write_page

if sys.platform == "win32":
    pytest.skip("the browser is spoken to through POSIX pipes", allow_module_level=True)

from report.browser import FOUND, Browser, browser

pytestmark = pytest.mark.skipif(FOUND is None, reason="no Chromium found")
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "+": 187}
DRAWN = "new Promise(done => {{ const look = () => Number(stage.dataset.drawn) >= {} ? done(true) : setTimeout(look, 10); look() }})"
COLUMNS = "(() => { const row = pen.getImageData(0, canvas.height >> 1, canvas.width, 1).data;\
 return [...Array(canvas.width).keys()].filter(x => row[4 * x + 3]).length })()"


class Page:
    """The page of what lies in a folder."""

    def __init__(self, opened: Browser, folder: Path, width_px: int = 1280, dark: bool = False) -> None:
        self.browser, found = opened, find_results(folder)
        shown = [contents_of(each) for each in found]
        self.path = write_page(folder / "page.html", shown, [each.report for each in found], overwrite=True)
        opened.open(self.path, width_px, dark)
        self.drawn(1)

    def drawn(self, turn: int) -> None:
        """Wait until the images are drawn for the `turn`th time."""
        assert self.value(DRAWN.format(turn))

    def value(self, expression: str) -> Any:
        return self.browser.value(expression)

    def colour(self, u: float, v: float) -> list[int]:
        """Red, green, blue and opacity on the screen at a place of the image, fractions of its width and height."""
        return self.value(f"(() => {{ const p = place(); return [...pen.getImageData(p.x + {u} * p.w, p.y + {v} * p.h, 1, 1).data] }})()")

    def change(self, name: str, value: float) -> None:
        """Move a slider and wait for the images."""
        turn = self.value("drawn")
        self.value(f"(i => {{ i.value = {value}; i.dispatchEvent(new Event('input')) }})(find('{name}'))")
        self.drawn(turn + 1)

    def click(self, selector: str) -> None:
        turn = self.value("drawn")
        self.value(f"document.querySelector('{selector}').click()")
        self.drawn(turn + 1)

    def mouse(self, kind: str, x: float, y: float) -> None:
        pressed = {"button": "left", "buttons": 1, "clickCount": 1} if kind != "mouseMoved" or self.pressed else {}
        self.pressed = kind == "mousePressed" or (kind == "mouseMoved" and self.pressed)
        self.browser.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    pressed = False

    def key(self, name: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.browser.ask("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=KEYS[name])


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def page(opened: Browser, tmp_path: Path) -> Page:
    return Page(opened, make_result(tmp_path, steps()))


@pytest.mark.parametrize("how", [{"width_px": 1280}, {"width_px": 400}, {"width_px": 1280, "dark": True}])
def test_nothing_is_asked_for_and_nothing_sticks_out(opened: Browser, tmp_path: Path, how: dict[str, Any]) -> None:
    folder = make_result(tmp_path, np.stack([steps((3, 4, 24, 32))] * 2, 1), "TCZYX", channels=["DAPI", "GFP"])
    (folder / "cell_report.html").write_text("<p>report</p>")
    page = Page(opened, folder, **how)
    assert opened.complaints() == [] and opened.requests() == []
    assert page.value("document.documentElement.scrollWidth") <= how["width_px"]
    apart = "(([a, b]) => b.left - a.right)([...document.querySelectorAll('.tag')].map(tag => tag.getBoundingClientRect()))"
    page.value("view.on[1] = false, find('own').click()")
    page.drawn(2)
    assert "ADU" in page.value("document.querySelector('.on-right').textContent") and page.value(apart) >= 0
    assert page.value("find('report').getAttribute('href')") == "cell_report.html", "a path that moves with the folder"
    assert page.value(
        "[...document.querySelectorAll('input, select, button')].every(e => e.labels?.length || e.ariaLabel || e.textContent)"
    )


def test_raw_and_results_have_one_scale(page: Page) -> None:
    """Light of 10, 100 and 1000 ADU is as bright in each of them; black is 0 and white the brightest light."""
    for layer in range(3):
        page.value(f"(s => {{ s.value = {layer}; s.dispatchEvent(new Event('change')) }})(find('left'))")
        page.drawn(layer + 2)
        page.value("split(1)")
        shades = [page.colour(u, v)[0] for u, v in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))]
        assert shades == pytest.approx([0, 2.55, 25.5, 255], abs=1)
    assert page.value("document.querySelector('.on-left').textContent") == "Deconvolved 0 to 1000 ADU"


def test_contrast_of_all_and_of_each(page: Page) -> None:
    page.value("split(1)")
    page.value("(i => { i.value = 200; i.dispatchEvent(new Event('change')) })(document.querySelectorAll('.limit input[type=number]')[1])")
    page.drawn(2)
    assert page.colour(0.25, 0.75)[0] == pytest.approx(127.5, abs=1) and page.colour(0.75, 0.75)[0] == 255
    page.value("find('left').value = 3, find('left').dispatchEvent(new Event('change'))")
    page.drawn(3)
    assert page.colour(0.25, 0.75)[0] == pytest.approx(25.5, abs=1), "the uncertainty, 10 of 100 ADU, keeps its own scale"
    page.click("#own")
    assert page.value("document.querySelector('.limit input').disabled")
    assert "Uncertainty 0 to 100" in page.value("find('scale-word').textContent")
    page.click("#reset")
    assert page.value("ranges[0]") == pytest.approx([0, 1000]) and not page.value("find('own').checked")


def test_the_divider_is_moved_by_mouse_and_keys(page: Page) -> None:
    page.value("find('right').value = 3, find('right').dispatchEvent(new Event('change'))")
    page.drawn(2)
    left, top, width, height = page.value("(b => [b.left, b.top, b.width, b.height])(stage.getBoundingClientRect())")
    raw, uncertainty = 25.5, 25.5
    assert page.colour(0.4, 0.75)[0] == pytest.approx(raw, abs=1) and page.colour(0.6, 0.25)[0] == pytest.approx(uncertainty / 10, abs=1)
    page.mouse("mousePressed", left + width / 2, top + height / 3)
    page.mouse("mouseMoved", left + 0.3 * width, top + height / 3)
    page.mouse("mouseReleased", left + 0.3 * width, top + height / 3)
    assert page.value("view.split") == pytest.approx(0.3, abs=0.005)
    assert page.value("find('handle').getAttribute('aria-valuenow')") == "30"
    assert page.value("document.activeElement.id") == "handle", "the keys go on where the mouse was"
    for _ in range(5):
        page.key("ArrowRight")
    assert page.value("view.split") == pytest.approx(0.4, abs=0.005)
    assert page.value("find('edge').getBoundingClientRect().left") == pytest.approx(left + 0.4 * width, abs=1.5)


def test_each_side_of_the_divider_is_its_image(opened: Browser, tmp_path: Path) -> None:
    """50 of 200 ADU on the left; on the right its uncertainty, 5 of 10 ADU."""
    light = np.full((20, 20), 50.0, np.float32)
    light[0, 0] = 100
    page = Page(opened, make_result(tmp_path, light))
    page.value("ranges[0] = [0, 200], find('right').value = 3, find('right').dispatchEvent(new Event('change'))")
    page.drawn(2)
    for split, shade in ((0.45, 127.5), (0.55, 63.75)):
        page.value(f"split({split})")
        assert page.colour(0.5, 0.5)[0] == pytest.approx(shade, abs=1)
    assert page.colour(0.1, 0.5)[0] == pytest.approx(63.75, abs=1) and page.colour(0.9, 0.5)[0] == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize("width_px", [1280, 400])
def test_the_bar_is_true_at_every_zoom(opened: Browser, tmp_path: Path, width_px: int) -> None:
    """Measured on the screen: the columns that the image covers are as wide as its pixels, of which the bar is so many um."""
    page = Page(opened, make_result(tmp_path, steps((60, 80))), width_px)
    told = set()
    for clicks, button in ((0, "in"), (5, "out"), (3, "in")):
        for _ in range(clicks):
            page.value(f"find('{button}').click()")
        columns, zoom = page.value(COLUMNS), page.value("view.zoom")
        if columns < page.value("canvas.width"):
            assert columns == pytest.approx(80 * zoom, abs=2), "the zoom is what it says"
        um_per_px = PIXEL_UM / zoom
        text, bar_px = page.value("[find('bar').textContent.trim(), find('bar').getBoundingClientRect().width]")
        number, unit = text.split()
        assert bar_px * um_per_px == pytest.approx(float(number) * {"µm": 1.0, "nm": 1e-3}[unit], rel=1e-3)
        assert bar_px <= 0.26 * page.value("stage.clientWidth")
        told.add(text)
    assert len(told) > 1
    page.value("find('one').click()")
    assert page.value("[view.zoom, find('zoom').textContent]") == [1, "100 %"]


def test_zoom_and_movement(page: Page) -> None:
    left, top, width, height = page.value("(b => [b.left, b.top, b.width, b.height])(stage.getBoundingClientRect())")
    x, y = left + 0.4 * width, top + 0.3 * height
    under = f"(() => {{ const p = place(); return [({0.4 * width} - p.x) / p.w, ({0.3 * height} - p.y) / p.h] }})()"
    before, zoom = page.value(under), page.value("view.zoom")
    page.browser.ask("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-200)
    page.value("new Promise(done => setTimeout(done, 100))")
    assert page.value("view.zoom") > 1.3 * zoom
    assert page.value(under) == pytest.approx(before, abs=1e-3), "what was under the cursor stays there"
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", x + 40, y + 10)
    page.mouse("mouseReleased", x + 40, y + 10)
    moved = page.value("(() => { const p = place(); return [40 / p.w, 10 / p.h] })()")
    assert page.value(under) == pytest.approx([before[0] - moved[0], before[1] - moved[1]], abs=2e-3)
    page.value("find('fit').click()")
    assert page.value("[view.zoom, view.x, view.y]") == pytest.approx([zoom, 0.5, 0.5])
    page.value("canvas.focus()")
    page.key("ArrowRight")
    assert page.value("view.x") > 0.5


def test_values_under_the_cursor(page: Page) -> None:
    left, top = page.value("(b => [b.left, b.top])(stage.getBoundingClientRect())")
    x, y = page.value("(() => { const p = place(); return [p.x + 0.75 * p.w, p.y + 0.75 * p.h] })()")
    page.mouse("mouseMoved", left + x, top + y)
    assert page.value("find('cursor').textContent") == "x 24, y 18 (2.40, 1.80 µm): Raw 1000; Deconvolved 1000 ADU"
    page.mouse("mouseMoved", left + 2, top + 2)
    assert "Point at" in page.value("find('cursor').textContent")


def test_planes_of_a_stack(opened: Browser, tmp_path: Path) -> None:
    light = np.arange(5, dtype=np.float32)[:, None, None] * np.full((24, 32), 20, np.float32)
    page = Page(opened, make_result(tmp_path, light, "ZYX"))
    assert page.value("[find('time').hidden, find('depth').hidden]") == [True, False]
    assert page.value("find('z-word').textContent") == "3 of 5 · 0.60 µm", "the middle"
    seen = []
    for plane in range(5):
        page.change("z", plane)
        seen.append((page.colour(0.25, 0.5)[0], page.colour(0.75, 0.5)[0]))
    assert np.array(seen) == pytest.approx(np.arange(5)[:, None] * np.array([[63.75, 63.75]]), abs=1.5)
    assert page.value("find('z-word').textContent") == "5 of 5 · 1.20 µm"


def test_a_movie_of_two_channels(opened: Browser, tmp_path: Path) -> None:
    light = np.zeros((4, 2, 24, 32), np.float32)
    light[:, 0] = np.array([100, 200, 300, 400])[:, None, None]
    light[:, 1, :, 16:] = 50
    names = {"channels": ["DAPI", "GFP"], "colours": [(0, 0, 255), (0, 255, 0)], "interval_s": 0.5}
    page = Page(opened, make_result(tmp_path, light, "TCYX", **names))
    assert [page.value(f"document.querySelectorAll('.channel bdi')[{n}].textContent") for n in (0, 1)] == ["DAPI", "GFP"]
    page.value("ranges = [[0, 400], [0, 50]], refresh()")
    page.drawn(2)
    assert page.colour(0.2, 0.5) == pytest.approx([0, 0, 64, 255], abs=1) and page.colour(0.8, 0.5) == pytest.approx(
        [0, 255, 64, 255], abs=1
    )
    page.change("t", 3)
    assert page.colour(0.8, 0.5) == pytest.approx([0, 255, 255, 255], abs=1)
    assert page.value("find('t-word').textContent") == "4 of 4 · 1.50 s"
    page.click(".channel input[type=checkbox]")
    assert page.colour(0.2, 0.5)[:3] == [0, 0, 0] and page.colour(0.8, 0.5) == pytest.approx([0, 255, 0, 255], abs=1)
    turn = page.value("drawn")
    page.value("find('play').click()")
    page.drawn(turn + 2)
    assert page.value("find('play').textContent") == "Pause"
    page.value("find('play').click()")
    still = page.value("new Promise(done => setTimeout(() => done(drawn), 400))")
    assert page.value("new Promise(done => setTimeout(() => done(drawn), 400))") == still, "it has stopped"


def test_pixels_without_data_are_hatched(opened: Browser, tmp_path: Path) -> None:
    light = steps()
    light[:12, :16] = np.nan
    page = Page(opened, make_result(tmp_path, light))
    assert page.colour(0.75, 0.75) == [255, 255, 255, 255]
    greys = {tuple(page.colour(u, v)[:3]) for u in np.linspace(0.05, 0.2, 6) for v in (0.1, 0.2, 0.3)}
    assert len(greys) > 1 and all(r < b for r, _, b in greys), "blueish stripes, which no intensity has"
    left, top = page.value("(b => [b.left, b.top])(stage.getBoundingClientRect())")
    x, y = page.value("(() => { const p = place(); return [p.x + 0.1 * p.w, p.y + 0.1 * p.h] })()")
    page.mouse("mouseMoved", left + x, top + y)
    assert "Raw no data" in page.value("find('cursor').textContent")


def test_several_results_on_one_page(opened: Browser, tmp_path: Path) -> None:
    make_result(tmp_path, steps(), name="a")
    page = Page(opened, make_result(tmp_path, 3 * steps((20, 20)), name="b"))
    assert page.value("[...find('result').options].map(o => o.text)") == ["a", "b"]
    page.value("find('result').value = 1, find('result').dispatchEvent(new Event('change'))")
    page.drawn(2)
    assert page.value("[shown.width, Math.round(ranges[0][1])]") == [20, 3000]
    assert page.value("find('facts').textContent").startswith("20 × 20 pixels")


def test_hostile_names_run_nothing(opened: Browser, tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    page = Page(opened, make_result(tmp_path, np.stack([steps()] * 2), "CYX", channels=[evil, "\u202egnp"]))
    assert opened.complaints() == [] and opened.requests() == []
    assert page.value("document.title") == "cell: images" and page.value("document.images.length") == 0
    assert page.value("document.querySelectorAll('.channel bdi')[1].textContent") == "\ufffdgnp"
