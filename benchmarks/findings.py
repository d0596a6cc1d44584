"""Every finding of the report on right and on wrong cases: how often it is good where all is right, and how often it tells what is wrong.

    python benchmarks/findings.py OUT [--cases 20] [--first-seed 20000] [--only NAME ...] [--restored CASES RUNS ...] [--train | --table]

Right cases are small simulated planes (`finding_cases.py`), of which four of one session share a network; a wrong condition changes the
recording, what is told of it, or the network, in one way. With `--restored`, right cases and networks are those of restored benchmark
planes instead (pairs of folders: cases, and what `run_cases.py` has written of them), quarter by quarter. The findings of each case and
condition are stored in OUT as JSON, models beside them, and are not made again. `--train` trains the networks and no more, `--table`
prints the table of what is stored.
"""

import argparse
import json
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import tifffile
import torch

import finding_cases as cases
import zsdeconv as zs
from finding_cases import Recorded, right
from zsdeconv.acquisition.structured import StructuredAcquisition
from zsdeconv.camera import calibrate
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.frames import calibrate_frames
from zsdeconv.findings import Finding
from zsdeconv.model import Model
from zsdeconv.physics.psf_check import check_psf
from zsdeconv.physics.psf_file import measure_psf
from zsdeconv.report import assess as assessment
from zsdeconv.report.checks import camera_law, fringes
from zsdeconv.report.interfaces import ResultLike

ALL = tuple(check.module.KEY for check in assessment.CHECKS)
MOST_MISSED = 1
"""Of 20: cases that may be judged wrongly before a finding counts as unreliable."""
MADE_OF_FAULTS = ("flux: flux_offset", "psf: signal")
"""Findings that are there only where something is wrong."""
REFUSED = "refused"
"""Section of a case that the program does not restore, which tells what is wrong, too."""
Found = list[tuple[str, Finding]]
"""Section and finding."""


@dataclass(frozen=True)
class Condition:
    """What is wrong, the findings that should tell it (any of `aimed`, as "section: name"), and how it is made from a seed and a folder."""

    name: str
    aimed: tuple[str, ...]
    made: Callable[[int, Path], Found]
    beside: str = "right"
    """The right condition that it is compared with."""


def judged(model: Model, image: zs.Image, sections: Sequence[str], restored: Any = None) -> Found:
    """The findings of some sections of the report; what is not `restored` has the size alone of what would be."""
    if restored is None:
        *rest, y, x = image.shape
        scale = model.acquisition.scale
        fine = replace(image, data=np.broadcast_to(np.float32(0), (*rest, scale * y, scale * x)))
        restored = SimpleNamespace(deconvolved=fine, uncertainty=None)
    chosen = tuple(check for check in assessment.CHECKS if check.module.KEY in sections)
    with patch.object(assessment, "CHECKS", chosen):
        made = assessment.assess(model, model.fitting(image), cast(ResultLike, restored))
    return [(section.key, finding) for section in made for finding in section.findings]


RESTORED: list[tuple[Path, Path]] = []
"""Benchmark planes and their restorations, of which right cases are made instead of simulated ones."""


def trained(seed: int, folder: Path, side: int = cases.SIDE_PX) -> tuple[Recorded, Model]:
    """A right case, and the model that was trained on it: on all fields of its session, or on the plane that it is a part of."""
    if RESTORED:
        case, run = RESTORED[seed % len(RESTORED)]
        return cases.part_of(case, seed // len(RESTORED) % 4, max(side, cases.QUARTER_PX)), zs.load(run / "noisy.zsd")
    session = cases.session_of(seed)
    path = folder / "models" / f"{session[0]}.zsd"
    if not path.exists():
        fields = [right(each).image for each in session]
        cases.store(zs.train(fields, config=cases.configuration(right(seed))), path)
    return right(seed, side=side), zs.load(path)


def all_right(seed: int, folder: Path) -> Found:
    case, model = trained(seed, folder)
    restored = replace(model, camera_from="model").predict(case.image)
    return judged(model, case.image, ALL, restored)


def of_data(
    change: Callable[[Recorded], Recorded] = lambda case: case, sections: Sequence[str] = ("camera",), **case: Any
) -> Callable[[int, Path], Found]:
    """A condition of the recording of a larger field, or none."""

    def made(seed: int, folder: Path) -> Found:
        wrong = change(right(seed, side=cases.FIELD_PX, **case))
        return judged(cases.untrained(wrong), wrong.image, sections)

    return made


def of_psf(change: Callable[[np.ndarray, float], np.ndarray] | None = None, **made_of: Any) -> Callable[[int, Path], Found]:
    """What is found in a PSF file alone, of a lens by the seed; of one with a `background`, where it is told of it."""

    def made(seed: int, folder: Path) -> Found:
        background = made_of.get("background")
        samples, step_um = cases.bead(seed, change, half_fwhm=made_of.get("half_fwhm", 6.0))
        with tempfile.TemporaryDirectory() as own:
            path = Path(own) / "beads.tif"
            tifffile.imwrite(path, samples.astype(np.float32))
            return [("psf", finding) for finding in check_psf(measure_psf(path, pixel_um=step_um, background=background))]

    return made


def of_movie(
    change: Callable[[Recorded], Recorded] = lambda movie: movie, restored_change: Callable[[np.ndarray], np.ndarray] = lambda x: x
) -> Callable[[int, Path], Found]:
    """A condition of a movie, or of its restoration, or none."""

    def made(seed: int, folder: Path) -> Found:
        case, model = trained(seed, folder)
        movie = change(cases.in_frames(case, seed)).image
        restored = replace(model, camera_from="model").predict(movie)
        x = restored.deconvolved
        wrong = replace(restored, deconvolved=replace(x, data=restored_change(x.data).astype(np.float32)))
        return judged(model, movie, ("recording", "series"), wrong)

    return made


def of_network(damage: Callable[[Model], cases.Damage], sections: Sequence[str]) -> Callable[[int, Path], Found]:
    """A condition of the network."""

    def made(seed: int, folder: Path) -> Found:
        case, model = trained(seed, folder)
        return judged(cases.damaged(model, damage(model)), case.image, sections)

    return made


def told(**options: Any) -> Callable[[Recorded], Recorded]:
    return lambda case: replace(case, options={**case.options, **options})


def stopped_early(seed: int, folder: Path) -> Found:
    """A tenth of the steps."""
    case = right(seed)
    model = zs.train([case.image], config=cases.configuration(case, steps=cases.TENTH_STEPS, validate_every=10))
    return judged(model, case.image, ("training", "residuals", "error_map", "flux"))


def other_gain(seed: int, folder: Path) -> Found:
    """The law of the noise has twice the gain in all that follows the training."""
    case, model = trained(seed, folder)
    camera = replace(model.camera, gain=2 * model.camera.gain, read_variance=4 * model.camera.read_variance)
    wrong = replace(model, acquisition=model.acquisition.for_detector(camera, 1.0))
    return judged(wrong, case.image, ("residuals",))


def dim(seed: int, folder: Path) -> Found:
    """A photon in a bright pixel, restored by the network of the right case."""
    case, model = trained(seed, folder)
    case = cases.dimmed(case, seed)
    restored = model.predict(case.image)
    return judged(restored.model, case.image, ("uncertainty", "resolution"), restored)


def remembered(seed: int, folder: Path) -> Found:
    """A twentieth of the noise of this very recording stays in the denoised image."""
    case, model = trained(seed, folder)
    measurement = model.acquisition.measure(case.image.data, torch.device("cpu"))
    noise = measurement.y - model.predict_measurement(measurement, passes=2).denoised
    return judged(cases.damaged(model, cases.remembers(noise, 0.05)), case.image, ("noise_left",))


def woven(seed: int, folder: Path) -> Found:
    """A tartan in a larger field, restored by the network of the right case."""
    case, model = trained(seed, folder, side=cases.LARGE_PX)
    return judged(cases.damaged(model, cases.weaves), case.image, ("noise_left",))


def large(seed: int, folder: Path) -> Found:
    """Right: a larger field, restored by the network of the right case."""
    case, model = trained(seed, folder, side=cases.LARGE_PX)
    return judged(model, case.image, ("noise_left",))


def as_camera(seed: int, folder: Path) -> Found:
    case = right(seed, kind="emccd", photons=10, side=cases.FIELD_PX)
    wrong = replace(case, options={"detector": "camera"})
    return judged(cases.untrained(wrong), wrong.image, ("camera",))


def of_camera_noise(seed: int, folder: Path) -> Found:
    """A multiplier's recording, of which all that follows takes the noise for that of a camera of the same variance."""
    case, model = trained(seed, folder)
    case = case if case.kind == "emccd" else replace(case, image=replace(case.image, data=cases.counts_of("emccd", case.electrons, seed)))
    camera = calibrate(case.image.data, detector="emccd").camera
    plain = Camera(camera.offset, camera.beta1, camera.read_variance)
    wrong = replace(model, acquisition=model.acquisition.for_detector(plain, camera.gain / model.camera.gain))
    return judged(wrong, case.image, ("noise_left",))


def coma(seed: int, folder: Path) -> Found:
    case = cases.comatic_case(seed)
    return judged(cases.untrained(case), case.image, ("psf",))


def of_raw_frames(change: Callable[[Recorded], Recorded] = lambda case: case) -> Callable[[int, Path], Found]:
    """A condition of raw frames whose noise is taken for independent, and no lines are removed, as of structured illumination."""

    def made(seed: int, folder: Path) -> Found:
        counts = change(right(seed, kind="camera", side=cases.FIELD_PX)).image.data
        return [("camera", finding) for finding in camera_law.measure([counts], calibrate_frames([counts], memory=False)).findings]

    return made


def of_pixels(size: float) -> Callable[[int, Path], Found]:
    """Offsets of single pixels, the same in eight frames, of so many standard deviations of the noise."""

    def made(seed: int, folder: Path) -> Found:
        frames = cases.with_pixels(right(seed, kind="camera", side=cases.FIELD_PX), seed, size)
        calibration = calibrate_frames(frames, memory=False)
        return [("camera", finding) for finding in camera_law.measure(frames, calibration).findings]

    return made


def fringes_of(modulation: float) -> Callable[[int, Path], Found]:
    """Fringes of a depth of modulation."""

    def made(seed: int, folder: Path) -> Found:
        acquisition = cast(StructuredAcquisition, cases.fringed(seed, modulation).acquisition)
        return [("pattern", each) for each in fringes.section(fringes.measure(acquisition.reconstruct)).findings]

    return made


def told_offset(by: float) -> Callable[[Recorded], Recorded]:
    """The offset of the recording is told wrong."""
    return lambda case: replace(case, options={**case.options, "background": cases.OFFSETS_ADU[case.kind] + by})


def _optics(**factors: float) -> Callable[[Recorded], Recorded]:
    def changed(case: Recorded) -> Recorded:
        return replace(case, options={**case.options, "optics": {name: case.optics[name] * factor for name, factor in factors.items()}})

    return changed


LIT = {"kind": "camera", "photons": cases.WELL_LIT_PHOTONS}
DATA, RAW, OPTICS, FILE, MOVIE, LARGER, FRINGES = (
    "right, camera alone",
    "right, raw frames",
    "right, well lit",
    "right, PSF file",
    "right, movie",
    "right, larger field",
    "right, fringes",
)
"""Right conditions beside the whole one."""
RIGHT = (
    Condition("right", (), all_right),
    Condition(DATA, (), of_data()),
    Condition(RAW, (), of_pixels(0.0)),
    Condition(OPTICS, (), of_data(sections=("psf",), **LIT)),
    Condition(FILE, (), of_psf()),
    Condition(MOVIE, (), of_movie()),
    Condition(LARGER, (), large),
    Condition(FRINGES, (), fringes_of(0.7)),
)
CONDITIONS = (
    Condition("wavelength a quarter too long", ("psf: width",), of_data(_optics(wavelength_nm=1.25), ("psf",), **LIT), OPTICS),
    Condition("wavelength a quarter too short", ("psf: width",), of_data(_optics(wavelength_nm=0.75), ("psf",), **LIT), OPTICS),
    Condition("NA 0.55 of the true one", ("psf: spectrum",), of_data(_optics(na=0.55), ("psf",), **LIT), OPTICS),
    Condition("coma of 1 rad", ("psf: shape", "psf: residual", "psf: width"), coma, OPTICS),
    Condition("PSF file cut off", ("psf: size",), of_psf(half_fwhm=0.8), FILE),
    Condition("PSF file with a second bead", ("psf: symmetry",), of_psf(cases.second_bead), FILE),
    Condition("PSF file too coarse", ("psf: sampling",), of_psf(cases.coarse), FILE),
    Condition("PSF file, told a background 2 % of the peak too high", ("psf: negative",), of_psf(background=0.02), FILE),
    Condition("PSF file with a background", ("psf: background",), of_psf(cases.raised), FILE),
    Condition("PSF file off centre", ("psf: centring",), of_psf(cases.moved), FILE),
    Condition("electron multiplier told as camera", ("camera: detector",), as_camera, DATA),
    Condition("offset 20 ADU too high", ("camera: offset",), of_data(told_offset(20), kind="camera"), DATA),
    Condition("offset 20 ADU too low", ("camera: offset",), of_data(told_offset(-20), kind="camera"), DATA),
    Condition(
        "enlarged by interpolation, not accounted for",
        ("camera: correlated noise", "camera: offset", "camera: read noise"),
        of_raw_frames(cases.resampled),
        RAW,
    ),
    Condition("offsets of rows, not removed", ("camera: pattern of rows",), of_raw_frames(lambda case: cases.with_lines(case, 0)), RAW),
    Condition(
        "offsets of columns, not removed", ("camera: pattern of columns",), of_raw_frames(lambda case: cases.with_lines(case, 1)), RAW
    ),
    Condition("offsets of pixels", ("camera: pattern of pixels",), of_pixels(0.5), RAW),
    Condition(
        "display curve, 8 bits",
        ("camera: noise law", "camera: read noise", "camera: offset", "camera: gain"),
        of_data(cases.displayed, **LIT),
        DATA,
    ),
    Condition("2 % of the pixels clipped", ("camera: saturation",), of_data(cases.saturated, kind="camera"), DATA),
    Condition("background subtracted, 0 below", ("camera: floor",), of_data(cases.floored, kind="camera"), DATA),
    Condition("no light", ("camera: gain",), of_data(kind="camera", photons=0.01), DATA),
    Condition("half a photon in a bright pixel", ("camera: read noise", "camera: gain"), of_data(kind="camera", photons=0.5), DATA),
    Condition("a multiplier's noise taken for a camera's", ("noise_left: shape of the noise",), of_camera_noise),
    Condition("network remembers 5 % of the noise", ("noise_left: noise kept",), remembered),
    Condition("network weaves", ("noise_left: added texture",), woven, LARGER),
    Condition(
        "noise fitted",
        ("residuals: residual_sd", "residuals: residual_whiteness"),
        of_network(lambda model: cases.fits_noise(model.acquisition.forward_operator), ("residuals",)),
    ),
    Condition("gain of the law twice too high", ("residuals: residual_sd",), other_gain),
    Condition("an object erased", ("residuals: structure_left",), of_network(lambda _: cases.erases, ("residuals", "error_map"))),
    Condition(
        "a quarter of the field is another",
        ("error_map: rsp", "residuals: structure_left"),
        of_network(lambda _: cases.replaces, ("residuals", "error_map")),
    ),
    Condition("brightness 10 % too low", ("flux: flux_slope",), of_network(lambda _: cases.scaled(0.9), ("flux",))),
    Condition("haze added to the deconvolved image", ("flux: flux_offset",), of_network(lambda _: cases.hazed, ("flux",))),
    Condition(
        "deconvolved image shifted by a pixel", ("recovery: place of test objects",), of_network(lambda _: cases.shifted, ("recovery",))
    ),
    Condition("points cut down", ("recovery: brightness of test objects",), of_network(lambda _: cases.loses_points, ("recovery",))),
    Condition("points merged", ("recovery: separation of test objects",), of_network(lambda _: cases.merges, ("recovery",))),
    Condition("fine detail is noise", ("resolution: frc_restored_nm",), of_network(lambda _: cases.unreliable, ("resolution",))),
    Condition("a photon in a bright pixel", ("uncertainty: uncertainty of bright pixels", "resolution: noise_limit_nm"), dim),
    Condition(
        "a tenth of the steps",
        ("training: training_reimage", "training: training_denoise", "residuals: residual_whiteness", "residuals: structure_left"),
        stopped_early,
    ),
    Condition("changes over time flattened by a fifth", ("series: trace_slope",), of_movie(restored_change=cases.flattened), MOVIE),
    Condition("each frame one too late", ("series: trace_correlation",), of_movie(restored_change=cases.delayed), MOVIE),
    Condition("brightness flickers by a fifth", ("series: flicker",), of_movie(restored_change=cases.flickering), MOVIE),
    Condition("a frame twice", ("recording: odd_frames",), of_movie(cases.repeated), MOVIE),
    Condition("a frame without light", ("recording: odd_frames",), of_movie(cases.without_light), MOVIE),
    Condition("fringes of little contrast", ("pattern: modulation",), fringes_of(0.12), FRINGES),
)
"""Wrong conditions of planes, of movies, and of planes under fringes."""


def stored(condition: Condition, seed: int, folder: Path) -> list[dict[str, Any]]:
    """The findings of a case under a condition, made only once."""
    path = folder / condition.name.replace(" ", "-").replace(",", "").replace("%", "percent") / f"{seed}.json"
    if not path.exists():
        started = time.process_time()
        try:
            made = condition.made(seed, folder)
        except zs.UserError as refusal:
            made = [(REFUSED, Finding("fail", REFUSED, 1.0, 0.0, str(refusal)))]
        found = [{"section": section, **finding.to_dict()} for section, finding in made]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"cpu_s": round(time.process_time() - started, 1), "findings": found}, indent=1))
        print(f"{condition.name}, seed {seed}: {time.process_time() - started:.0f} s", flush=True)
    return json.loads(path.read_text())["findings"]


def level_of(found: Sequence[dict[str, Any]], key: str) -> str:
    """The worst level among the findings of a key ("section: name"), "absent" where there is none."""
    if any(each["section"] == REFUSED for each in found):
        return REFUSED
    order = ("absent", "not_checked", "ok", "warn", "fail")
    return max((each["level"] for each in found if f"{each['section']}: {each['name']}" == key), key=order.index, default="absent")


def table(folder: Path, seeds: Sequence[int]) -> Iterator[str]:
    """A row for each finding: levels on right cases, and for each condition aimed at it, how many wrong ones were told."""
    results: dict[str, list[list[dict[str, Any]]]] = {}
    for condition in (*RIGHT, *CONDITIONS):
        sub = folder / condition.name.replace(" ", "-").replace(",", "").replace("%", "percent")
        results[condition.name] = [json.loads(p.read_text())["findings"] for s in seeds if (p := sub / f"{s}.json").exists()]
    keys = dict.fromkeys(f"{each['section']}: {each['name']}" for condition in RIGHT for found in results[condition.name] for each in found)
    keys |= dict.fromkeys(key for condition in CONDITIONS for key in condition.aimed)
    yield "| finding | right cases | good, look, problem, not checked | wrong cases | told | good | not checked |"
    yield "| --- " * 7 + "|"
    for key in sorted(keys):
        aimed = [condition for condition in CONDITIONS if key in condition.aimed]
        for beside in dict.fromkeys(condition.beside for condition in aimed) or ("right",):
            own = ", ".join(str(n) for n in _four(Counter(level_of(found, key) for found in results[beside]), key))
            wrong = [condition for condition in aimed if condition.beside == beside]
            if not wrong:
                yield f"| {key} | {beside} | {own} | none | | | |"
            for condition in wrong:
                good, look, problem, grey = _four(Counter(level_of(found, key) for found in results[condition.name]), key)
                yield f"| {key} | {beside} | {own} | {condition.name} | {look + problem} | {good} | {grey} |"
    yield ""
    yield "| wrong cases | told by any of the findings aimed at them | of |"
    yield "| --- | --- | --- |"
    for condition in CONDITIONS:
        found = results[condition.name]
        told = sum(any(level_of(each, key) in ("warn", "fail", REFUSED) for key in condition.aimed) for each in found)
        yield f"| {condition.name} | {told} | {len(found)} |"


def _four(levels: Counter[str], key: str) -> tuple[int, int, int, int]:
    """Numbers of good, look, problem (or refused) and not checked; an absent finding is good where it is made of faults alone."""
    absent = levels["absent"]
    good, grey = (absent, 0) if key in MADE_OF_FAULTS else (0, absent)
    return levels["ok"] + good, levels["warn"], levels["fail"] + levels[REFUSED], levels["not_checked"] + grey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=20_000)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="conditions by words of their names")
    parser.add_argument("--restored", nargs="+", type=Path, default=[], metavar="FOLDER", help="pairs of folders: cases, restorations")
    parser.add_argument("--train", action="store_true", help="only train the networks")
    parser.add_argument("--table", action="store_true", help="only print the table of what is stored")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for case_folder, run_folder in zip(given.restored[::2], given.restored[1::2], strict=True):
        runs = sorted(each for each in run_folder.glob("2d-*_seed*/") if (each / "noisy_uncertainty.ome.tif").exists())
        RESTORED.extend((case_folder / each.name.split("_")[0], each) for each in runs)
    seeds = range(given.first_seed, given.first_seed + given.cases)
    for seed in seeds if given.train else ():
        trained(seed, given.out)
    if not (given.table or given.train):
        for condition in (*RIGHT, *CONDITIONS):
            if not given.only or any(re.search(rf"\b{re.escape(part)}\b", condition.name) for part in given.only):
                for seed in seeds:
                    stored(condition, seed, given.out)
    print("\n".join(table(given.out, seeds)))


if __name__ == "__main__":
    main()
