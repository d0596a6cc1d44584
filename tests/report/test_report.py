"""The report as text: complete, escaped, self-contained, small."""

import base64
import hashlib
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from zsdeconv.errors import OutputError
from zsdeconv.findings import Finding, Level
from zsdeconv.image import Image
from zsdeconv.report.page.chapters import MAX_OPEN, chapter
from zsdeconv.report.page.figures import MAX_BYTES, render_all
from zsdeconv.report.page.panels import WORDS
from zsdeconv.report.page.report import LEVEL_WORDS, Report, render, write_report
from zsdeconv.report.page.summary import verdict
from zsdeconv.report.section import CaptionedFigure, Section

HOSTILE = [
    "<img src=x onerror=alert(1)>.tif",
    "</title><script>document.title='taken'</script>",
    "\"'><svg onload=alert(2)>",
    "</script><script>alert(3)</script>\n<b>bold",
    "javascript:alert(4) {{ 7 * 7 }} {% raw %}",
    "cell\u202efit.exe\ud800\x00",
]
VOID = {"meta", "img", "input", "path", "circle", "rect", "use", "br"}


def line(figure: Figure) -> None:
    figure.subplots().plot([1, 2, 1])


def section(key: str, *levels: Level, figures: int = 0) -> Section:
    findings = [Finding(level, f"{key}{n}", 1.0, 2.0, f"message {n} of {key}: {level}") for n, level in enumerate(levels)]
    drawn = [CaptionedFigure(f"picture {n} of {key}", line) for n in range(figures)]
    return Section(key, f"Title {key}", f"Question {key}?", findings, {f"{key}_um": 0.25, "unknown": None}, drawn)


def images(size: int = 64) -> dict[str, Image]:
    rng, spacing = np.random.default_rng(0), {"Y": 0.1, "X": 0.1}
    return {name: Image(rng.gamma(2.0, 10.0, (size, size + 6)), "YX", spacing, 0.0) for name in WORDS}


class Page(HTMLParser):
    """Elements with their attributes and texts; that all of them are closed is checked on the way."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def source() -> str:
    sections = [
        section("a", "ok", figures=1),
        section("b", "warn", "ok"),
        section("c", "fail", "warn", figures=2),
        section("d", "not_checked"),
    ]
    summary = {"shape": [64, 70], "sources": {"psf": "PSF file"}, "camera": {"gain_adu_per_e": 1.5}}
    return render(Report("cell.tif", sections, images(), {"training": {"steps": 1800}}, summary, "1.2.3", "on a Monday"))


def test_everything_is_there(source: str) -> None:
    page = Page(source)
    for key in "abcd":
        assert f"Question {key}?" in page.text and f"Title {key}" in page.text
    for told in ("Message 0 of c: fail.", "Message 1 of c: warn.", "picture 1 of c", "A, µm", "0.25", "not measured"):
        assert told in page.text
    for told in ("cell.tif", "training.steps (--steps) 1800", "Gain , ADU per electron 1.5", "PSF file", "zsdeconv 1.2.3", "on a Monday"):
        assert told in page.text
    for title, _ in WORDS.values():
        assert title in page.text


def test_verdict_counts_the_levels(source: str) -> None:
    text = Page(source).text
    assert "1 of 3 checks found a problem: Title c. 1 more needs a look: Title b. 1 was not checked: Title d." in text
    assert "Findings: 2 of 5 good, 1 not checked." in text


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (["ok"], "The one check is good."),
        (["ok", "ok"], "All 2 checks are good."),
        (["ok", "not_checked", "not_checked"], "The one check is good. 2 were not checked: Title 1 and Title 2."),
        (["ok", "ok", "not_checked"], "All 2 checks are good. 1 was not checked: Title 2."),
        (["not_checked"], "Nothing was checked."),
        (["warn", "ok"], "1 of 2 checks needs a look: Title 0."),
    ],
)
def test_what_was_not_checked_is_neither_good_nor_bad(levels: list[Level], words: str) -> None:
    assert verdict([section(str(n), level) for n, level in enumerate(levels)]) == words


def test_the_first_findings_are_the_worst_and_lead_to_their_check(source: str) -> None:
    leads = source[source.index('<ol class="leads"') : source.index("</ol>")].split("<li>")[1:]
    assert len(leads) == 2, "those that need attention; none of these checks matters to everybody"
    for lead, level, says in zip(leads, ("fail", "warn"), ("0 of c: fail", "0 of b: warn"), strict=True):
        assert says in lead and f'href="#mark-{level}"' in lead and LEVEL_WORDS[level] in lead
    targets = re.findall(r'<a href="#([^"]+)"', source)
    folds = [str(attributes["id"]) for attributes in Page(source).all("details") if "id" in attributes]
    assert set(targets) <= set(folds) and len(folds) == 4


def test_good_findings_that_matter_to_everybody_fill_the_first_screen() -> None:
    flux = Section("flux", "Brightness", "Kept?", [Finding("ok", "flux_slope", 1.0, 0.02, "kept")])
    limit = Section("resolution", "Resolution", "How fine?", [Finding("ok", "noise_limit_nm", 200.0, 300.0, "fine")])
    checks = chapter("", "", Report("a", [flux, section("x", "warn"), section("y", "ok"), limit]), set())
    assert [lead.check.section.key for lead in checks["leads"]] == ["x", "resolution", "flux"]


def test_only_what_needs_attention_is_unfolded_and_not_too_much_of_it() -> None:
    levels: list[Level] = ["ok", "not_checked", "warn", "warn", "warn", "warn", "warn", "fail"]
    sections = [section(str(n), level) for n, level in enumerate(levels)]
    groups = chapter("", "", Report("a", sections), set())["groups"]
    assert [[check.section.key for check in checks] for _, checks in groups] == [list("234567"), ["0"], ["1"]]
    shown = [check.section.key for _, checks in groups for check in checks if check.unfolded]
    assert len(shown) == MAX_OPEN and "7" in shown, "the problem before what needs a look"


def test_a_check_whose_question_was_not_answered_is_grey(source: str) -> None:
    own, fit = Finding("ok", "sum", 1.0, 1.0, "sums to 1"), Finding.not_checked("signal", "no fine detail")
    psf = Section("psf", "PSF", "Is it that of the image?", [fit, own], answers=[fit])
    assert psf.level == "not_checked" and verdict([psf, section("a", "ok")]) == "The one check is good. 1 was not checked: PSF."
    (_, (shown,)) = chapter("", "", Report("a", [psf]), set())["groups"][2]
    assert shown.first is fit and shown.missing == 0
    assert Section("psf", "PSF", "?", [replace(own, level="warn"), fit], answers=[fit]).level == "warn"


def test_what_is_not_given_is_named_once() -> None:
    page = Page(render(Report("a", [], {}, {"training": {"steps": 9, "minutes": None}, "crop": None}))).text
    assert "training.steps (--steps) 9" in page and "Not given: training.minutes (--minutes) , crop" in page.replace(", crop", " , crop")
    assert "not known" not in page


def test_levels_differ_in_shape_not_only_in_colour(source: str) -> None:
    shapes = dict(re.findall(r'<symbol id="mark-(\w+)"[^>]*>(.*?)</symbol>', source))
    assert len({shapes[level] for level in LEVEL_WORDS}) == 4


@pytest.mark.parametrize("report", [Report("", []), Report("a", [section("x")]), Report("b", [], images(9))])
def test_little_to_tell_makes_a_page_too(report: Report) -> None:
    Page(render(report))


def test_nothing_comes_from_outside(source: str) -> None:
    page = Page(source)
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert name not in ("srcset", "action", "formaction", "background", "ping", "style") and not name.startswith("on"), name
            if name in ("src", "href"):
                assert re.match(r"data:image/png;base64,[A-Za-z0-9+/=]+$|#[\w-]+$", str(value)), str(value)[:80]
    without_images = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", source)
    assert not re.search(r"https?:|//[\w.-]+\.\w|url\(|@import", without_images)
    assert not page.all("link") and not page.all("iframe") and not page.all("object")


def test_the_policy_allows_this_script_and_style_and_nothing_else(source: str) -> None:
    policy = next(str(meta["content"]) for meta in Page(source).all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == ["'none'"] and rules["img-src"] == ["data:"]
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == [f"'sha256-{digest}'"]


@pytest.mark.parametrize("evil", HOSTILE)
def test_texts_from_files_stay_texts(evil: str) -> None:
    bad = Section(evil, evil, evil, [Finding("warn", evil, 1.0, 1.0, evil)], {evil: evil, "nested": {evil: [evil]}}, [picture_of(evil)])
    summary = {evil: evil, "sources": {"psf": evil, evil: evil}, "shape": [evil], "optics": {"na": evil}}
    named = {**images(20), evil: images(20)["raw"]}
    hostile = render(Report(evil, [bad], named, {evil: {evil: evil}}, summary, evil, evil))
    harmless = Section("k", "t", "q", [Finding("warn", "n", 1.0, 1.0, "m")], {"k": "v", "nested": {"k": ["v"]}}, [picture_of("c")])
    calm_summary = {"k": "v", "sources": {"psf": "v", "k": "v"}, "shape": ["s"], "optics": {"na": "v"}}
    calm = render(Report("t", [harmless], {**images(20), "k": images(20)["raw"]}, {"k": {"k": "v"}}, calm_summary, "v", "v"))
    tags = [[(tag, sorted(attributes)) for tag, attributes in Page(page).elements] for page in (hostile, calm)]
    assert tags[0] == tags[1], "the same elements with the same attributes, whatever the texts say"
    assert "\u202e" not in hostile and "\x00" not in hostile
    hostile.encode("utf-8")
    shown = " ".join(evil.replace("\u202e", "\ufffd").replace("\ud800", "\ufffd").replace("\x00", "\ufffd").split())
    assert shown in html.unescape(" ".join(hostile.split()))


def picture_of(caption: str) -> CaptionedFigure:
    return CaptionedFigure(caption, line, (2.0, 1.5))


def test_size_is_bounded_whatever_the_images_and_texts() -> None:
    """Noise cannot be compressed: the worst case of a picture."""

    def noise(figure: Figure) -> None:
        figure.subplots().imshow(np.random.default_rng(1).random((300, 500)), aspect="auto", interpolation="nearest")

    checks = [replace(section(key, "warn"), figures=[CaptionedFigure("noise", noise)]) for key in "abcd"]
    stacks = {
        name: Image(np.random.default_rng(2).normal(0, 1, (9, 700, 900)), "ZYX", {"Z": 0.3, "Y": 0.1, "X": 0.1}, 0.0) for name in WORDS
    }
    settings = {f"key{n}": "x" * 100_000 for n in range(50)} | {"signal": list(range(100_000))}
    page = render(Report("n" * 10_000, checks, stacks, settings, settings))
    assert len(page.encode()) < 3e6


def test_pictures_share_the_bytes() -> None:
    """What one does not need is left for the next."""
    plain, drawn = picture_of("plain"), list(render_all([picture_of("first")] * 3, 60_000))
    assert [picture.caption for picture in drawn] == ["first"] * 3
    assert sum(len(picture.png) for picture in drawn) <= 60_000 < MAX_BYTES
    assert next(render_all([plain])).png == next(render_all([plain])).png, "the same picture gives the same bytes"


def test_written_whole_and_never_over_another(tmp_path: Path) -> None:
    report, path = Report("caf\u00e9.tif", [section("a", "ok")]), tmp_path / "cell_report.html"
    assert write_report(path, report) == path
    assert path.read_text(encoding="utf-8") == render(report)
    with pytest.raises(OutputError, match="`overwrite`"):
        write_report(path, report)
    write_report(path, replace(report, title="other.tif"), overwrite=True)
    assert "other.tif" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["cell_report.html"]


def test_a_picture_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def broken(figure: Figure) -> None:
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        write_report(tmp_path / "r.html", Report("a", [replace(section("a", "ok"), figures=[CaptionedFigure("p", broken)])]))
    assert list(tmp_path.iterdir()) == []


def test_arguments_in_messages_are_set_as_code() -> None:
    once = Section("a", "A", "Why?", [Finding.not_checked("passes", "a single pass; give `passes=2` or <more>")])
    page = render(Report("cell.tif", [once]))
    assert (
        page.count('A single pass; give <code>passes=2</code> <span class="option">(<code>--passes 2</code>)</span> or &lt;more&gt;.') == 1
    )
