"""Words: every abbreviation and every term of art that users read has an explanation, and the glossary has the same one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zsdeconv
from zsdeconv.report.page.terms import term_of, term_pattern, terms

SOURCE = Path(zsdeconv.__file__).parent
GLOSSARY = SOURCE.parents[1] / "docs" / "glossary.md"
EVERYDAY = {
    *(
        "AM",
        "ASCII",
        "AWS",
        "BSD",
        "CPU",
        "CUDA",
        "FITS",
        "GB",
        "GPU",
        "HDF5",
        "HTML",
        "HTTP",
        "ID",
        "JSON",
        "KB",
        "MB",
        "MIT",
        "MPS",
        "PM",
    ),
    *("NaN", "NGFF", "OK", "OME", "ONNX", "PNG", "RAM", "RGB", "TIFF", "URL", "UTC", "UTF", "XML", "YAML", "ZIP", "TB"),
}
"""Computers and their files, which need no microscopist to explain them."""
FORMATS = {"BIN", "CZI", "DV", "LIF", "LZW", "LSM", "MRC", "ND2", "OIB", "OIF", "OIR", "STK", "TIF", "VSI", "ZSTD", "LERC", "JPEG"}
ARTICLES = {"IEEE", "SPIE", "DOI"}
PLACEHOLDERS = {"DIR", "FILE", "INPUT", "PRED", "TRUTH", "UM"}
AXES = re.compile(r"^[TCZYXPS]+\d?$")
JARGON = (
    *(
        "coma",
        "validation",
        "skewness",
        "re-blurred",
        "residual",
        "standard error",
        "standard deviation",
        "variance",
        "re-corruption",
        "loss",
    ),
    *(
        "Rayleigh criterion",
        "noise limit",
        "spatial frequency",
        "power",
        "correlation",
        "fixed pattern",
        "white noise",
        "fringes",
        "modulation",
    ),
    *(
        "denoised",
        "deconvolved",
        "fine pixels",
        "gain",
        "offset",
        "read noise",
        "split",
        "electron multiplier",
        "photon counter",
        "weights",
    ),
)
UNEXPLAINED = re.compile(
    r"\b(kurtosis|cumulant|covariance|Nyquist|Hessian|autocorrelation|eigen\w*|regulari[sz]\w*|apodi[sz]\w*|isotropic|orthogonal|prior"
    r"|stochastic|hyperparameter\w*|epoch\w*|logits?|backprop\w*|overfit\w*|coloured|reimage|abscissa|ordinate|quantile)\b"
)
"""Words that a report uses none of, as plain ones say the same."""


def texts(*folders: str) -> Iterator[tuple[str, str]]:
    """Every text in the source of these folders that is no docstring, with its place."""
    for path in sorted(path for folder in folders for path in [*SOURCE.glob(f"{folder}.py"), *(SOURCE / folder).rglob("*.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said_alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said_alone:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node.value


def prose(text: str) -> bool:
    return len(re.findall(r"[a-z]{2,}", text)) >= 3


def test_abbreviations_of_messages_are_explained() -> None:
    known = set(terms()) | EVERYDAY | FORMATS | ARTICLES | PLACEHOLDERS
    folders = ("report", "camera", "physics", "sim", "acquisition", "config", "training", "prediction", "data", "io", "cli", "simulation")
    unknown = {}
    for place, text in texts(*folders):
        if not prose(text):
            continue
        for word in re.findall(r"(?<![\w`/.%{-])([A-Z][A-Z0-9]+)(?:s|-\w+)?(?![\w=:`-])", text):
            if word not in known and not AXES.match(word) and f"{word[:-1]}" not in known:
                unknown.setdefault(word, place)
    assert unknown == {}


@pytest.mark.parametrize("word", JARGON)
def test_terms_of_art_are_explained(word: str) -> None:
    match = term_pattern().search(f"the {word} of it")
    assert match is not None and match[0] == word and len(terms()[term_of(word)].split()) > 3


def test_the_report_uses_no_term_that_it_does_not_explain() -> None:
    found = {text: place for place, text in texts("report/checks", "physics/psf_check", "sim/frame_light", "sim/positions") if prose(text)}
    assert {place: text for text, place in found.items() if UNEXPLAINED.search(text)} == {}


def test_the_glossary_has_the_same_explanations() -> None:
    glossary = GLOSSARY.read_text(encoding="utf-8")
    missing = [term for term, meaning in terms().items() if f"\n{term}\n: {meaning}" not in glossary]
    assert missing == []
    defined = re.findall(r"^(.+)\n: ", glossary, re.MULTILINE)
    assert len(defined) == len({word.lower() for word in defined}), "each word has one meaning"


def test_explanations_are_sentences_for_people() -> None:
    for term, meaning in terms().items():
        assert meaning.endswith(".") and meaning[0].isupper() and 20 < len(meaning) < 160, term
        assert not re.search(r"[_<>$`]", meaning), term


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Two PSFs, one OTF", ["PSF", "OTF"]),
        ("the psf of a file", []),  # an argument's name, not the abbreviation
        ("Coma, and a comatose cell", ["coma"]),
        ("the optical cutoff", ["optical cutoff"]),  # the longest wins
        ("de-residual", []),
    ],
)
def test_terms_are_found_as_words(text: str, found: list[str]) -> None:
    assert [term_of(match[0]) for match in term_pattern().finditer(text)] == found
