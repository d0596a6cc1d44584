"""What is done is not done again, what was learnt is not lost, and settings that matter must be the same."""

import numpy as np
import pytest

from zsdeconv import io

OPTICS = ("--na", 1.2, "--wavelength-nm", 600)


@pytest.fixture
def quick(tiny):
    """Options of a run that takes no time."""
    return (*OPTICS, "--config", tiny, "--passes", 0, "--steps", 2)


@pytest.fixture
def cell(save, frame):
    return save("cell.tif", frame[:57, :64], 0.1)


@pytest.fixture
def no_training(monkeypatch):
    """From now on a step of a training fails."""

    def forbid():
        def step(*arguments):
            pytest.fail("the training was done already")

        monkeypatch.setattr("zsdeconv.training.trainer.Trainer._fit_phase", step)

    return forbid


def raising(fault):
    def action(*arguments, **options):
        raise fault

    return action


@pytest.mark.parametrize("place", ["zsdeconv.model.Model.predict", "zsdeconv.model.Model.save", "zsdeconv.model.Restored.report"])
def test_interrupted_after_the_training_it_continues_without_another(zs, cell, quick, tmp_path, monkeypatch, no_training, place):
    """During the prediction, while results are written, and during the report."""
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(place, raising(KeyboardInterrupt()))
        assert zs("run", cell, "-o", out, *quick, "--report").code == 130
    assert (out / ".cell_checkpoint.zsd").exists()
    no_training()
    monkeypatch.setattr("zsdeconv.model.Restored.report", raising(MemoryError("as it is slow")))
    again = zs("run", cell, "-o", out, *quick, "--report", "--resume")
    assert again.code == 2 and "as it is slow" in again.err
    assert not (out / ".cell_checkpoint.zsd").exists() and (out / "cell_denoised.ome.tif").exists()


@pytest.mark.parametrize(("fault", "code"), [(ZeroDivisionError("odd"), 1), (MemoryError("for the test"), 2)])
def test_a_report_that_fails_leaves_images_and_model(zs, cell, quick, tmp_path, monkeypatch, fault, code):
    monkeypatch.setattr("zsdeconv.model.Restored.report", raising(fault))
    ended = zs("run", cell, "-o", tmp_path / "out", *quick, "--report")
    assert ended.code == code and str(fault) in ended.err
    kinds = ["cell.zsd", "cell_config.yaml", "cell_deconvolved.ome.tif", "cell_denoised.ome.tif", "cell_log.jsonl"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == kinds


def test_a_finished_result_of_other_settings_is_refused_with_both_values(zs, cell, quick, tmp_path, save, frame):
    out = tmp_path / "out"
    assert zs("run", cell, "-o", out, *quick).code == 0
    before = (out / "cell.zsd").read_bytes()
    for option, value, words in (
        ("--steps", 3, "--steps was 2, now it is 3"),
        ("--na", 1.1, "--na was 1.2, now it is 1.1"),
        ("--passes", 2, "--passes was 0, now it is 2"),
        ("--background", 90, "--background was auto, now it is 90"),
        ("--crop", "0:50,0:50", "--crop was not given, now it is 0:50,0:50"),
    ):
        error = zs("run", cell, "-o", out, *quick, option, value, "--resume").error
        assert words in error and "--overwrite" in error
    for option in (("--report",), ("--device", "cpu"), ("--tile", 64), ("--batch", 2), ("--pairs", "auto")):
        assert zs("run", cell, "-o", out, *quick, *option, "--resume").out == "cell: done already\n"
    cell.unlink()
    save("cell.tif", frame[1:58, :64], 0.1)
    assert "its pixels are not those that cell.zsd was trained on" in zs("run", cell, "-o", out, *quick, "--resume").error
    assert (out / "cell.zsd").read_bytes() == before


def test_in_a_batch_what_is_done_is_named_and_the_rest_is_done(zs, cell, quick, save, frame, tmp_path):
    other, out = save("other.tif", frame[20:75, :64], 0.1), tmp_path / "out"
    zs("run", cell, "-o", out, *quick)
    before = (out / "cell.zsd").read_bytes()
    ended = zs("run", cell, other, "-o", out, *quick, "--resume")
    assert (ended.code, ended.warnings) == (0, [])
    assert "1 of 2: cell: done already" in ended.out and "cell.tif   skipped: done already" in ended.out
    assert (out / "other.zsd").exists() and (out / "cell.zsd").read_bytes() == before


def test_a_trained_model_is_done_too(zs, cell, tiny, tmp_path):
    words = ("train", cell, "-o", tmp_path / "m.zsd", *OPTICS, "--config", tiny)
    assert zs(*words).code == 0
    assert zs(*words, "--resume").out == "m.zsd: done already\n"
    assert "--seed was 0, now it is 5" in zs(*words, "--seed", 5, "--resume").error
    assert "exists" in zs(*words).error
    assert not (tmp_path / ".m_checkpoint.zsd").exists()


def test_prediction_settings_do_not_matter_to_a_checkpoint(zs, cell, quick, tmp_path, monkeypatch, no_training):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("zsdeconv.model.Model.predict", raising(KeyboardInterrupt()))
        assert zs("run", cell, "-o", out, *quick).code == 130
    no_training()
    assert zs("run", cell, "-o", out, *quick, "--passes", 2, "--resume").code == 0
    assert io.read(out / "cell_uncertainty.ome.tif").data.shape == (114, 128)


def test_a_result_without_uncertainty_does_not_keep_that_of_an_earlier_run(zs, cell, quick, tmp_path):
    out = tmp_path / "out"
    zs("run", cell, "-o", out, *quick, "--passes", 2)
    first = io.read(out / "cell_denoised.ome.tif").data
    assert (out / "cell_uncertainty.ome.tif").exists()
    assert zs("run", cell, "-o", out, *quick, "--seed", 4, "--overwrite").code == 0
    assert not (out / "cell_uncertainty.ome.tif").exists()
    assert not np.array_equal(first, io.read(out / "cell_denoised.ome.tif").data)
