"""Run `zsdeconv run` on benchmark cases as a user would, score the results and compare them with Richardson-Lucy.

    python benchmarks/run_cases.py CASES... --scorer score.py --baselines baselines.json -o OUT [--minutes 0 2] [--seed 0 1 2]

A case is a folder with noisy.tif, case.yaml (pixel size, optics) and what the scorer needs. The program is told the optics and
nothing about the camera. One run at a time; a run whose result is in OUT already is not repeated. OUT/summary.md is the table.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from types import ModuleType
from typing import Any

import numpy as np
import tifffile

from cases import facts, find_cases

RL_COUNTS = (3, 4, 6, 8, 10, 15, 20, 30, 50)
MARGINS = ("soft_psnr", "psnr", "ssim")
BOTH = "both"
"""Name of the Richardson-Lucy result with the largest sum of soft_psnr and psnr: the best that one image can do in both."""


@dataclass(frozen=True)
class Job:
    """One restoration: a case, a seed and a training budget, 0 for that of the default preset."""

    case: Path
    seed: int
    minutes: float

    @property
    def name(self) -> str:
        budget = f"{self.minutes:g}min" if self.minutes else "default"
        return f"{self.case.name}_{budget}_seed{self.seed}"


def command(job: Job, out: Path, extra: Sequence[str]) -> list[str]:
    """The command line of a user who knows the microscope and not the camera."""
    known = facts(job.case)
    optics = {"na": known["na"], "wavelength-nm": known["wavelength_nm"], "immersion-ri": known["ri"], "pixel-um": known["pixel_um"][-1]}
    if "sheet_um" in known:
        optics |= {"microscope": "lightsheet", "sheet-um": known["sheet_um"]}
    optics |= {name: known[name] for name in ("directions", "phases") if name in known} | {"modality": known["modality"]}
    if "excitation_nm" in known:
        optics |= {"excitation-nm": known["excitation_nm"]}
    if len(known["pixel_um"]) == 3:
        optics |= {"z-um": known["pixel_um"][0]}
    options = [word for name, value in optics.items() for word in (f"--{name}", str(value))]
    budget = [*(["--minutes", f"{job.minutes:g}"] if job.minutes else []), "--seed", str(job.seed)]
    noisy = str(job.case / "noisy.tif")
    return [sys.executable, "-m", "zsdeconv", "run", noisy, "-o", str(out), *options, *budget, "--overwrite", "--quiet", *extra]


def restore(job: Job, out: Path, extra: Sequence[str]) -> dict[str, Any]:
    """Run one job; wall time, exit code, and the end of the error output where there is any."""
    words = command(job, out, extra)
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    facts: dict[str, Any] = {"wall_s": round(time.perf_counter() - start, 1), "exit_code": done.returncode}
    return facts | ({"stderr": done.stderr[-2000:]} if done.stderr else {})


def judge(job: Job, out: Path, referee: ModuleType, *, with_rl: bool) -> dict[str, Any]:
    """Scores of both output files, and of the plain reconstruction, or `with_rl` of Richardson-Lucy run on the denoised image."""
    denoised = tifffile.imread(out / "noisy_denoised.ome.tif")
    deconvolved = tifffile.imread(out / "noisy_deconvolved.ome.tif")
    scores = referee.score(job.case, denoised, deconvolved)
    reconstructed = out / "noisy_reconstructed.ome.tif"
    if reconstructed.exists():
        return scores | {"reconstructed": referee.score(job.case, None, tifffile.imread(reconstructed))["deconvolved"]}
    if with_rl and "deconvolved" in scores:
        scores["rl_on_denoised"] = richardson_lucy_on(denoised, job.case, referee)
    return scores


def richardson_lucy_on(denoised: np.ndarray, case: Path, referee: ModuleType) -> dict[str, Any]:
    """Best score of Richardson-Lucy on our denoised image for each metric and for both, the iterations chosen by looking at the truth."""
    baselines = importlib.import_module("baselines")
    psf = tifffile.imread(case / "psf.tif").astype(float)
    estimates = baselines.richardson_lucy(np.squeeze(denoised).astype(float), psf, RL_COUNTS)
    results = {n: referee.score(case, None, x)["deconvolved"] for n, x in estimates}
    best = {m: max(results, key=lambda n: results[n][m]) for m in ("psnr", "soft_psnr")}
    best[BOTH] = max(results, key=lambda n: results[n]["psnr"] + results[n]["soft_psnr"])
    return {m: results[n] | {"iterations": n} for m, n in best.items()}


def machine() -> dict[str, Any]:
    import torch

    from zsdeconv._version import __version__

    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "zsdeconv": __version__,
    }


def over_oracle(ours: dict[str, Any], oracle: dict[str, Any]) -> dict[str, float]:
    """Margin of each metric over the Richardson-Lucy result that is best in that metric (ssim: over the larger of both)."""
    best = {
        "soft_psnr": oracle["soft_psnr"]["soft_psnr"],
        "psnr": oracle["psnr"]["psnr"],
        "ssim": max(oracle["psnr"]["ssim"], oracle["soft_psnr"]["ssim"]),
    }
    return {m: ours[m] - best[m] for m in MARGINS}


def margins(scores: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    """What the scores are worth: over the raw image, over Richardson-Lucy on it, over Richardson-Lucy on our denoised image."""
    found: dict[str, Any] = {"denoised_over_raw": scores["denoised"]["psnr"] - baseline["raw"]["psnr"]}
    if "deconvolved" in scores:
        found["over_rl"] = over_oracle(scores["deconvolved"], baseline["rl_oracle"])
    if "reconstructed" in scores:
        found["over_plain"] = {m: scores["deconvolved"][m] - scores["reconstructed"][m] for m in (*MARGINS, "frc_nm")}
    if "rl_on_denoised" in scores:
        found["over_rl_on_denoised"] = over_oracle(scores["deconvolved"], scores["rl_on_denoised"])
        one = scores["rl_on_denoised"][BOTH]
        found["over_rl_on_denoised"][BOTH] = sum(scores["deconvolved"][m] - one[m] for m in ("soft_psnr", "psnr"))
    return found


def run_job(job: Job, args: argparse.Namespace, referee: ModuleType, baselines: dict[str, Any]) -> dict[str, Any]:
    """The result of one job, from OUT if it is there, else by running it. A failed run is recorded and tried again next time."""
    record = args.out / f"{job.name}.json"
    if record.exists() and (known := json.loads(record.read_text()))["exit_code"] == 0:
        return known
    work = args.out / job.name
    result = {"case": job.case.name, "seed": job.seed, "minutes": job.minutes, "photons": facts(job.case).get("photons")}
    result |= restore(job, work, args.extra) | {"machine": machine()}
    if result["exit_code"] == 0:
        scores = judge(job, work, referee, with_rl=args.rl)
        result |= {"scores": scores, "margins": margins(scores, baselines[job.case.name])}
    record.write_text(json.dumps(result, indent=1) + "\n")
    return result


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table; a short row is filled up with empty cells."""
    lines = [columns, ["---"] * len(columns), *([*row, *[""] * (len(columns) - len(row))] for row in rows)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


COLUMNS = ("case", "min", "seed", "soft_psnr", "over RL", "over RL on den.", "psnr", "over RL", "over RL on den.", "both over RL on den.")
COLUMNS += ("ssim", "over RL", "flux slope", "flux offset", "denoised", "over raw", "wall s")


def cells(result: dict[str, Any]) -> list[str]:
    """One row of the table; a case without truth has only its denoised columns, a failed run only its exit code."""
    head = [result["case"], f"{result['minutes']:g}", str(result["seed"])]
    if result["exit_code"]:
        return [*head, f"failed with exit code {result['exit_code']}"]
    scores, gain = result["scores"], result["margins"]
    tail = [f"{scores['denoised']['psnr']:.2f}", f"{gain['denoised_over_raw']:+.2f}", f"{result['wall_s']:.0f}"]
    if "deconvolved" not in scores:
        return [*head, *[""] * (len(COLUMNS) - len(head) - len(tail)), *tail]
    d, rl, own = scores["deconvolved"], gain["over_rl"], gain.get("over_rl_on_denoised", {})
    for m in ("soft_psnr", "psnr"):
        head += [f"{d[m]:.2f}", f"{rl[m]:+.2f}", f"{own[m]:+.2f}" if own else ""]
    head.append(f"{own[BOTH]:+.2f}" if own else "")
    flux = [f"{d[k]:.3f}" if k in d else "" for k in ("flux_slope", "flux_offset_frac")]
    return [*head, f"{d['ssim']:.3f}", f"{rl['ssim']:+.3f}", *flux, *tail]


SIM_COLUMNS = ("case", "seed", "soft_psnr", "over plain", "over RL", "psnr", "over plain", "over RL", "ssim", "over plain")
SIM_COLUMNS += ("frc nm", "plain", "denoised", "wall s")


def sim_cells(result: dict[str, Any]) -> list[str]:
    """One row of the table of structured illumination: over our own plain reconstruction, and over Richardson-Lucy on the wide field."""
    head = [result["case"], str(result["seed"])]
    if result["exit_code"]:
        return [*head, f"failed with exit code {result['exit_code']}"]
    scores, gain = result["scores"], result["margins"]
    d, plain, rl = scores["deconvolved"], gain["over_plain"], gain["over_rl"]
    for m in ("soft_psnr", "psnr"):
        head += [f"{d[m]:.2f}", f"{plain[m]:+.2f}", f"{rl[m]:+.2f}"]
    head += [f"{d['ssim']:.3f}", f"{plain['ssim']:+.3f}", f"{d['frc_nm']:.0f}", f"{scores['reconstructed']['frc_nm']:.0f}"]
    return [*head, f"{scores['denoised']['psnr']:.2f}", f"{result['wall_s']:.0f}"]


def light_levels(results: Sequence[dict[str, Any]]) -> str:
    """Mean and worst margins of the simulated cases at each light level and budget."""
    columns = ("photons", "min", "runs", "soft_psnr mean", "worst", "psnr mean", "worst", "ssim worst", "denoised over raw, mean")
    simulated = [r for r in results if not r["exit_code"] and not r["case"].startswith("real")]
    rows = []
    for photons, minutes in sorted({(r["photons"], r["minutes"]) for r in simulated}):
        group = [r["margins"] for r in simulated if (r["photons"], r["minutes"]) == (photons, minutes)]
        soft, psnr, ssim = ([g["over_rl"][m] for g in group] for m in MARGINS)
        gains = [f"{x:+.2f}" for x in (mean(soft), min(soft), mean(psnr), min(psnr))]
        rows.append(
            (photons, f"{minutes:g}", len(group), *gains, f"{min(ssim):+.3f}", f"{mean(g['denoised_over_raw'] for g in group):+.2f}")
        )
    return table(columns, rows)


def seeds(results: Sequence[dict[str, Any]]) -> str:
    """Spread of soft_psnr over the seeds of each case and budget, for those with more than one."""
    values: dict[tuple[str, float], list[float]] = {}
    for r in results:
        if not r["exit_code"] and "deconvolved" in r["scores"]:
            values.setdefault((r["case"], r["minutes"]), []).append(r["scores"]["deconvolved"]["soft_psnr"])
    rows = [(c, f"{m:g}", len(v), f"{min(v):.2f}", f"{max(v):.2f}", f"{max(v) - min(v):.2f}") for (c, m), v in values.items() if len(v) > 1]
    return table(("case", "min", "seeds", "soft_psnr min", "max", "spread"), rows) if rows else ""


def summary(results: Sequence[dict[str, Any]]) -> str:
    facts = ", ".join(f"{k} {v}" for k, v in results[0]["machine"].items())
    if any("reconstructed" in result.get("scores", {}) for result in results):
        return "\n\n".join(("# Benchmark cases", facts, table(SIM_COLUMNS, map(sim_cells, results)).strip(), seeds(results).strip())) + "\n"
    parts = (
        "# Benchmark cases",
        facts,
        table(COLUMNS, map(cells, results)),
        "Margins over Richardson-Lucy:",
        light_levels(results),
        seeds(results),
    )
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+", metavar="CASES", help="folder of case folders")
    parser.add_argument("--scorer", type=Path, required=True, help="score.py, with baselines.py in the same folder")
    parser.add_argument("--baselines", type=Path, required=True, help="baselines.json: scores of Richardson-Lucy on the raw images")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.0], help="training budgets; 0: that of the default preset")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--no-rl", dest="rl", action="store_false", help="leave out Richardson-Lucy on the denoised images (20 s a case)")
    parser.add_argument("--modality", default="2d")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these cases alone")
    parser.add_argument("--extra", nargs=argparse.REMAINDER, default=[], help="everything after it goes to `zsdeconv run`")
    return parser.parse_args()


def main() -> None:
    args = parse()
    sys.path.insert(0, str(args.scorer.resolve().parent))
    referee = importlib.import_module(args.scorer.stem)
    baselines = json.loads(args.baselines.read_text())
    cases = find_cases(args.cases, args.modality, args.only)
    jobs = [Job(case, seed, minutes) for minutes in args.minutes for seed in args.seed for case in cases]
    if not jobs:
        sys.exit(f"no case of modality {args.modality} in {', '.join(map(str, args.cases))}; check the folders and --only")
    args.out.mkdir(parents=True, exist_ok=True)
    results = []
    for job in jobs:
        results.append(run_job(job, args, referee, baselines))
        print(" | ".join(cells(results[-1])), flush=True)
        (args.out / "summary.md").write_text(summary(results))


if __name__ == "__main__":
    main()
