"""A restoration in a few words: the verdict of all checks, what was restored, and what was taken from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zsdeconv.report.page.text import label, plain, shown
from zsdeconv.report.section import Section

LONGEST_TITLE = 160
ORIGINS = {
    "pixel_um": "Pixel size",
    "optics": "Microscope",
    "psf": "Point spread function (PSF)",
    "camera": "Offset, gain and read noise",
    "pairs": "Training data",
    "sim": "Pattern of the stripes",
}
"""What the entries of `sources` are called, in a summary of `zsdeconv.prepare`."""


def verdict(sections: Sequence[Section]) -> str:
    """One sentence, or two, that say how many checks found what.

    >>> from zsdeconv.findings import Finding
    >>> bad = Section("psf", "PSF", "Is it right?", [Finding("fail", "width", 2.0, 1.1, "too wide")])
    >>> verdict([bad, Section("flux", "Brightness", "Is it kept?")])
    '1 of 2 checks found a problem: PSF.'
    """
    count = len(sections)
    if not count:
        return "Nothing was checked."
    failed, doubtful = ([section.title for section in sections if section.level == level] for level in ("fail", "warn"))
    parts = []
    if failed:
        parts.append(f"{len(failed)} of {count} checks found a problem: {_listed(failed)}.")
    if doubtful:
        some = f"{len(doubtful)} more" if parts else f"{len(doubtful)} of {count} checks"
        parts.append(f"{some} need{'s' if len(doubtful) == 1 else ''} a look: {_listed(doubtful)}.")
    return " ".join(parts) or (f"All {count} checks are good." if count > 1 else "The one check made is good.")


def facts(summary: Mapping[str, Any]) -> list[str]:
    """What was restored, from the summary of `zsdeconv.prepare`; whatever it lacks is left out.

    >>> facts({"frames": 1, "shape": [256, 300], "spacing_um": {"Y": 0.065, "X": 0.065}, "optics": {"na": 1.4, "wavelength_nm": 525.0}})
    ['256 × 300 pixels', '65 nm', 'NA 1.4', '525 nm light']
    """
    shape, frames, optics = summary.get("shape"), summary.get("frames"), summary.get("optics") or {}
    found = [
        f"{frames} frames" if frames and frames > 1 else "",
        f"{' × '.join(map(shown, shape))} pixels" if shape else "",
        _spacing_words(summary.get("spacing_um") or {}),
        f"NA {shown(optics['na'])}" if optics.get("na") else "",
        f"{shown(optics['wavelength_nm'])} nm light" if optics.get("wavelength_nm") else "",
    ]
    return [text for text in found if text]


def origins(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was taken from where, from the `sources` of a summary.

    >>> origins({"sources": {"psf": "PSF file", "camera": "image"}})
    [('Point spread function (PSF)', 'PSF file'), ('Offset, gain and read noise', 'image')]
    """
    sources = summary.get("sources") or {}
    return [(ORIGINS.get(name, label(name)), shown(origin)) for name, origin in sources.items()]


def _spacing_words(spacing_um: Mapping[str, float]) -> str:
    lateral, axial = spacing_um.get("X"), spacing_um.get("Z")
    step = f", planes {shown(1000 * axial)} nm apart" if axial else ""
    return f"{shown(1000 * lateral)} nm{step}" if lateral else ""


def _listed(titles: Sequence[str]) -> str:
    titles = [plain(title, LONGEST_TITLE) for title in titles]
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
