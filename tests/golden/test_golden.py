"""The golden runs give what they gave when they were stored: the same bits on the machine that stored them, the same image elsewhere."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import zsdeconv as zs
from golden import runs

STORED = json.loads(runs.STORED.read_text(encoding="utf-8"))
QUICK = ("2d-fast", "2d-ensemble", "3d-interleave")
RENAMED = {"spikes": "recovery", "spread": "pass_spread", "elsewhere": "reblur_residual", "darkness": "zero_level"}
"""Keys of the report that were called otherwise when the runs were stored."""
ROUNDING = 2e-2
"""Of the range of an image: what another processor's rounding becomes in eight steps of training."""


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in runs.RUNS])
def test_a_run_gives_what_it_gave(name: str) -> None:
    stored, result = STORED["runs"][name], runs.restored(runs.RUNS[name])
    found = runs.measured(result, runs.RUNS[name])
    same_machine = STORED["machine"] == runs.machine()
    assert found["images"].keys() == stored["images"].keys()
    for kind, image in found["images"].items():
        expected = stored["images"][kind]
        assert (image["axes"], image["shape"]) == (expected["axes"], expected["shape"])
        assert image["spacing_um"] == pytest.approx(expected["spacing_um"])
        if same_machine:
            assert image["sha256"] == expected["sha256"], kind
        np.testing.assert_allclose(image["pixels"], expected["pixels"], rtol=0, atol=ROUNDING * np.ptp(expected["pixels"]))
    report, expected = dict(leaves(found["report"])), dict(leaves(renamed(stored["report"])))
    if same_machine:
        differing = {key: (expected.get(key), report.get(key)) for key in expected if report.get(key) != expected[key]}
        assert differing == {}
    else:
        assert expected.keys() <= report.keys()


@pytest.mark.parametrize("name", [name for name, run in runs.RUNS.items() if run.model])
def test_model_files_of_the_first_version_are_read_and_restore_alike(name: str) -> None:
    """Stored before the acquisitions, under the old names of settings and factors."""
    model = zs.load(runs.FOLDER / f"{name}.zsd")
    run, stored = runs.RUNS[name], STORED["first_version"][name]
    restored = model.predict((run.first_scene or run.scene)()).deconvolved.data
    np.testing.assert_allclose(restored.ravel()[:: runs.STRIDE], stored, rtol=0, atol=ROUNDING * np.ptp(stored))


def renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {RENAMED.get(key, key): renamed(item) for key, item in value.items()}
    return [renamed(item) for item in value] if isinstance(value, list) else value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers of a report by their paths; the words of findings, which are language, are left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("message", "name", "findings", "level", "source", "time_s"):
                yield from leaves(item, f"{path}.{key}")
    else:
        yield path, value
