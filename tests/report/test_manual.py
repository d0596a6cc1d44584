"""The manual of the findings: every finding has an entry, and every entry stands in `docs/report.md` under its anchor."""

import ast
import re
from pathlib import Path

import pytest

import zsdeconv
from zsdeconv.model import Restored
from zsdeconv.report.assess import CHECKS
from zsdeconv.report.checks.convergence import PHASE_WORDS
from zsdeconv.report.page.manual import entry_of, manual

SOURCE = Path(zsdeconv.__file__).parent
TEXT = (SOURCE.parents[1] / "docs" / "report.md").read_text(encoding="utf-8")
NAMES_OF_FINDINGS = re.compile(r"^[a-z][a-z_ ]+$")


def slug(heading: str) -> str:
    """The anchor that GitHub and Sphinx give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_check_has_entries_and_no_others_do() -> None:
    assert list(manual()) == [check.module.KEY for check in CHECKS]
    for section in manual().values():
        assert section


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, entries in manual().items() for name in entries])
def test_every_entry_is_in_the_manual_under_its_anchor(check: str, name: str) -> None:
    entry = manual()[check][name]
    page, anchor = entry.anchor.split("#")
    assert page == "report.md"
    headings = {slug(heading): heading for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    assert headings[anchor] == entry.title
    assert f"### {entry.title}\n\n{entry.meaning} (" in TEXT and f"`{check}`, `{name}`)" in TEXT


def test_titles_and_anchors_are_unique() -> None:
    entries = [entry for section in manual().values() for entry in section.values()]
    assert len({entry.anchor for entry in entries}) == len(entries)
    headings = [slug(heading) for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)]
    assert len(set(headings)) == len(headings), "an anchor leads to one place"


def test_findings_of_a_report_have_entries(restored: Restored) -> None:
    sections = restored.report().sections
    assert [(section.key, f.name) for section in sections for f in section.findings if entry_of(section.key, f.name) is None] == []


def test_findings_that_a_good_image_does_not_have_have_entries() -> None:
    """Names of findings stand as texts in the calls that make them."""
    known = {name for entries in manual().values() for name in entries}
    named: set[object] = {f"training_{phase}" for phase in PHASE_WORDS}
    for path in [*(SOURCE / "report/checks").glob("*.py"), SOURCE / "physics/psf_check.py", *(SOURCE / "sim").glob("*.py")]:
        for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
            called = ast.unparse(call.func)
            first, second = (each.value if isinstance(each, ast.Constant) else None for each in (*call.args, None, None)[:2])
            named.add(second if called == "Finding" else first if called in ("Finding.not_checked", "_judged", "_clipped") else None)
    texts = {name for name in named if isinstance(name, str)}
    assert {name for name in texts if NAMES_OF_FINDINGS.match(name)} - known == set()
    assert len(texts & known) > 20, "the texts were found"
