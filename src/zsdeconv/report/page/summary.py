"""A restoration in a few words: the verdict of all checks, the restored image, and the origin of each quantity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zsdeconv.findings import Finding
from zsdeconv.report.page.text import label, printable, value_text
from zsdeconv.report.section import Section

MAX_TITLE_LENGTH = 160
"""Characters of a title. Chosen: two lines of the page."""
ORIGINS = {
    "pixel_um": "Pixel size",
    "optics": "Microscope",
    "psf": "Point spread function (PSF)",
    "pairs": "Training data",
    "sim": "Illumination pattern",
}
"""Words for the entries of `sources` in a summary of `zsdeconv.prepare`."""
OF_CAMERA = ("camera", "detector")
"""Entries of `sources` that stand in the table of the calibration."""


def count_words(findings: Iterable[Finding]) -> str:
    """The number of good findings among those that could be made, and how many could not.

    >>> good = Finding("ok", "sum", 1.0, 1.01, "sums to 1")
    >>> count_words([good, good]), count_words([good, Finding.not_checked("width", "too little signal")])
    ('2 of 2 good', '1 of 1 good, 1 not checked')
    """
    levels = [finding.level for finding in findings]
    missing = levels.count("not_checked")
    return f"{levels.count('ok')} of {len(levels) - missing} good" + (f", {missing} not checked" if missing else "")


def verdict(sections: Sequence[Section]) -> str:
    """One to three sentences with the number of checks of each level; those that could not be made are counted apart.

    >>> bad = Section("psf", "PSF", "Is it right?", [Finding("fail", "width", 2.0, 1.1, "too wide")])
    >>> verdict([bad, Section("flux", "Brightness", "Is it kept?", [Finding.not_checked("slope", "no contrast")])])
    '1 of 1 check found a problem: PSF. 1 was not checked: Brightness.'
    """
    titles = {level: [section.title for section in sections if section.level == level] for level in ("fail", "warn", "not_checked")}
    failed, doubtful, missing = titles["fail"], titles["warn"], titles["not_checked"]
    made, parts = len(sections) - len(missing), []
    of_made = f"of {made} check{'' if made == 1 else 's'}"
    if not made:
        return "Nothing was checked."
    if failed:
        parts.append(f"{len(failed)} {of_made} found a problem: {_listed(failed)}.")
    if doubtful:
        number = f"{len(doubtful)} more" if parts else f"{len(doubtful)} {of_made}"
        parts.append(f"{number} need{'s' if len(doubtful) == 1 else ''} a look: {_listed(doubtful)}.")
    if not parts:
        parts.append("The one check is good." if made == 1 else f"All {made} checks are good.")
    if missing:
        parts.append(f"{len(missing)} {'was' if len(missing) == 1 else 'were'} not checked: {_listed(missing)}.")
    return " ".join(parts)


def facts(summary: Mapping[str, Any]) -> list[str]:
    """The restored image in words, from the summary of `zsdeconv.prepare`; missing entries are left out.

    >>> facts({"frames": 1, "shape": [256, 300], "spacing_um": {"Y": 0.065, "X": 0.065}, "optics": {"na": 1.4, "wavelength_nm": 525.0}})
    ['256 × 300 pixels', '65 nm', 'NA 1.4', '525 nm light']
    """
    shape, frames, optics = summary.get("shape") or [], summary.get("frames"), summary.get("optics") or {}
    rank = len(summary.get("spacing_um") or shape)
    raw, sizes = shape[:-rank] if rank else [], shape[-rank:] if rank else []
    texts = [
        f"{frames} frames" if frames and frames > 1 else "",
        f"{' × '.join(map(value_text, raw))} raw frames" if raw else "",
        f"{' × '.join(map(value_text, sizes))} pixels" if sizes else "",
        _spacing_words(summary.get("spacing_um") or {}),
        f"NA {value_text(optics['na'])}" if optics.get("na") else "",
        f"{value_text(optics['wavelength_nm'])} nm light" if optics.get("wavelength_nm") else "",
    ]
    return [text for text in texts if text]


def origins(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each quantity and its origin, from the `sources` of a summary; those of the camera are told by `camera_table`.

    >>> origins({"sources": {"psf": "PSF file", "pixel_um": "image", "camera": "image"}})
    [('Point spread function (PSF)', 'PSF file'), ('Pixel size', 'image')]
    """
    sources = summary.get("sources") or {}
    return [(ORIGINS.get(name, label(name)), value_text(origin)) for name, origin in sources.items() if name not in OF_CAMERA]


def _spacing_words(spacing_um: Mapping[str, float]) -> str:
    lateral, axial = spacing_um.get("X"), spacing_um.get("Z")
    step = f", planes {value_text(1000 * axial)} nm apart" if axial else ""
    return f"{value_text(1000 * lateral)} nm{step}" if lateral else ""


def _listed(titles: Sequence[str]) -> str:
    titles = [printable(title, MAX_TITLE_LENGTH) for title in titles]
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
