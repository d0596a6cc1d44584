"""The training loop: same seed same bits, interruption and resumption, best-so-far, stopping, budgets."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from oracles import asymmetric_kernel
from zsdeconv.acquisition.direct import CameraMeasurement, DirectAcquisition
from zsdeconv.camera.detector import Camera
from zsdeconv.config import Config, TrainingSection, resolve, specialised
from zsdeconv.data.batches import RandomStreams
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ConfigError, UserError
from zsdeconv.io.model_file import load_model, save_model
from zsdeconv.modality import MODALITIES
from zsdeconv.physics.psf import Psf
from zsdeconv.training.networks import make_network, training_phases
from zsdeconv.training.objectives import most_steps
from zsdeconv.training.trainer import AVERAGED, VALIDATION_BATCHES, Checkpoint, Event, Progress, Trainer

CPU = torch.device("cpu")
KEY = {"modality": "2d", "rank": 2, "data": "abc"}
PSF = Psf.from_array(asymmetric_kernel(5, 5) + np.pad([[4.0]], 2), (0.03, 0.03), "a test")


def configuration(**training: Any) -> Config:
    tiny = {"patch_px": 16, "batch": 2, "steps": 40, "validate_every": 6, "learning_rate": 0.002}
    return resolve({"network": {"channels": (4, 8)}, "training": {**tiny, **training}, "seed": 3})


def trainer(config: Config, checkpoint: Path | None = None, callback=lambda event: None, key: dict[str, Any] = KEY) -> Trainer:
    """Our network, its real curriculum, one small noisy image."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    clean = 0.5 + 0.4 * np.sin(y / 1.7) * np.cos(x / 1.5)  # too fine for a mean filter
    image = torch.from_numpy(clean + 0.1 * rng.normal(size=clean.shape)).float()
    camera = Camera(0.0, 0.01, 0.002)
    acquisition = DirectAcquisition(Affine(0.0, 1.0), camera, PSF, 2)
    phases = training_phases(config, acquisition, [CameraMeasurement(image, camera)])
    network = make_network(config, 2, acquisition.forward_operator, 2)
    saved = Checkpoint(checkpoint, key)
    return Trainer(network, phases, config.training, seed=config.seed, device=CPU, checkpoint=saved, callback=callback)


def weights(of: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in of.raw.state_dict().items()}


def assert_same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def timeless(history: list[Event]) -> list[Event]:
    return [{key: value for key, value in event.items() if key not in ("elapsed_s", "memory_gb")} for event in history]


class Killed(BaseException):
    """What a signal would raise."""


def killer(at_event: int):
    """A callback that kills the training at its n-th event."""
    seen: list[Event] = []

    def callback(event: Event) -> None:
        seen.append(event)
        if len(seen) == at_event:
            raise Killed

    return callback


@pytest.fixture(scope="module")
def reconstructed_as() -> tuple[dict[str, Tensor], list[Event]]:
    run = trainer(configuration())
    history = run.fit()
    return weights(run), history


def test_same_seed_same_bits_other_seed_others(reconstructed_as) -> None:
    again = trainer(configuration())
    assert timeless(again.fit()) == timeless(reconstructed_as[1])
    assert_same_bits(weights(again), reconstructed_as[0])
    other = trainer(configuration().model_copy(update={"seed": 4}))
    other.fit()
    assert not torch.equal(weights(other)["stage1.head.weight"], reconstructed_as[0]["stage1.head.weight"])


def test_both_phases_move_and_report(reconstructed_as) -> None:
    state, history = reconstructed_as
    assert [event["phase"] for event in history] == ["denoise"] * 4 + ["reimage"] * 3
    assert [event["step"] for event in history] == [6, 12, 18, 22, 6, 12, 18]  # every sixth, and the end of each share of 40
    assert [event["done"] for event in history] == sorted(event["done"] for event in history)
    assert history[-1]["done"] == 1.0
    assert float(state["stage1.head.weight"].abs().max()) > 0 and float(state["stage2.head.weight"].abs().max()) > 0


def test_both_phases_learn() -> None:
    history = trainer(configuration(steps=100)).fit()
    for phase in ("denoise", "reimage"):
        first, *later = [event["validation"] for event in history if event["phase"] == phase]
        assert min(later) < 0.98 * first


def test_everything_can_learn_again_afterwards() -> None:
    run = trainer(configuration(steps=2))
    run.fit()
    assert all(parameter.requires_grad for parameter in run.raw.parameters())


@pytest.mark.parametrize("killed_at", [1, 2, 4, 5, 6, 7])
def test_a_killed_training_resumes_to_the_same_bits(tmp_path: Path, reconstructed_as, killed_at: int) -> None:
    """Killed before the first checkpoint, within either phase, and between them."""
    path = tmp_path / "cell.partial"
    with pytest.raises(Killed):
        trainer(configuration(), path, killer(killed_at)).fit()
    assert path.exists() == (killed_at > 1)
    resumed = trainer(configuration(), path)
    history = resumed.fit(resume=True)
    assert_same_bits(weights(resumed), reconstructed_as[0])
    assert timeless(history) == timeless(reconstructed_as[1])


def test_a_complete_training_waits_in_its_checkpoint(tmp_path: Path, reconstructed_as) -> None:
    """Whoever has not stored the result yet gets it again without one step, until the checkpoint is removed."""
    path = tmp_path / "cell.partial"
    trainer(configuration(), path).fit()
    again = trainer(configuration(), path, killer(1))
    assert timeless(again.fit(resume=True)) == timeless(reconstructed_as[1])
    assert_same_bits(weights(again), reconstructed_as[0])
    again.checkpoint.remove()
    assert not path.exists()


def test_twice_killed_is_no_different(tmp_path: Path, reconstructed_as) -> None:
    path = tmp_path / "cell.partial"
    for killed_at in (3, 3):
        with pytest.raises(Killed):
            trainer(configuration(), path, killer(killed_at)).fit(resume=True)
    resumed = trainer(configuration(), path)
    resumed.fit(resume=True)
    assert_same_bits(weights(resumed), reconstructed_as[0])


def test_without_resume_a_training_starts_anew(tmp_path: Path, reconstructed_as) -> None:
    path = tmp_path / "cell.partial"
    with pytest.raises(Killed):
        trainer(configuration(), path, killer(3)).fit()
    run = trainer(configuration(), path)
    assert timeless(run.fit()) == timeless(reconstructed_as[1])


def test_a_checkpoint_is_no_pickle_and_holds_all(tmp_path: Path) -> None:
    path = tmp_path / "cell.partial"
    with pytest.raises(Killed):
        trainer(configuration(), path, killer(3)).fit()
    assert path.read_bytes()[8:9] == b"{"  # the table of a safetensors file
    tensors, header = load_model(path)
    assert header["progress"]["step"] == 12
    assert {name.split(".")[0] for name in tensors} == {"now", "mean", "best", "draws", "optimizer"}
    assert [p.name for p in tmp_path.iterdir()] == ["cell.partial"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.partial"
    with pytest.raises(Killed):
        trainer(configuration(), path, killer(2)).fit()
    other = trainer(configuration(), path, key={**KEY, "data": "xyz"})
    with pytest.raises(ConfigError, match=r"cell\.partial belongs to another run: its images had other pixels.*`resume`"):
        other.fit(resume=True)
    assert path.exists()


def test_a_model_is_no_checkpoint(tmp_path: Path) -> None:
    path = save_model(tmp_path / "cell.zsd", {"w": torch.ones(1)}, KEY)
    with pytest.raises(ConfigError, match=r"cell\.zsd .*`resume`"):
        Checkpoint(path, KEY).load()


class Ramp:
    """Drives the one weight of `Scalar` upwards, past the place where the validation is best."""

    name = "ramp"

    def __init__(self, best_at: float, trap: float | None = None, most_steps: int | None = None) -> None:
        self.best_at, self.trap, self.most_steps = best_at, trap, most_steps

    def parameters(self, network: nn.Module) -> Iterable[nn.Parameter]:
        return network.parameters()

    def prepare(self, network: nn.Module, draws: RandomStreams) -> None:
        """Nothing."""

    def __call__(self, network: nn.Module, draws: RandomStreams) -> Tensor:
        w = network(torch.ones(1)).float()
        if torch.is_grad_enabled():
            return -w.sum() if self.trap is None or float(w.detach()) < self.trap else w.sum() * float("nan")
        return (w - self.best_at).square().sum()


class Scalar(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w


def ramp(objective: Ramp, **training: Any) -> Trainer:
    settings = TrainingSection(**{"learning_rate": 0.01, "schedule": "halving", "validate_every": 1, "steps": 100, **training})
    return Trainer(Scalar(), [(objective, 1.0)], settings, seed=0, device=CPU)


def test_the_best_weights_are_kept_and_patience_ends_the_phase() -> None:
    run = ramp(Ramp(best_at=0.3), patience=5)
    history = run.fit()
    assert float(weights(run)["w"]) == pytest.approx(0.3, abs=0.006)  # half a step of Adam, 0.01 each
    assert [event["best"] for event in history] == [True] * (len(history) - 5) + [False] * 5
    assert history[0]["step"] == 10  # the end of the warm-up, a tenth of 100 steps
    assert len(history) == pytest.approx(26, abs=1)


class Watched(Ramp):
    """Remembers the weight at each step, and at each validation."""

    def __init__(self) -> None:
        super().__init__(best_at=10.0)
        self.steps: list[float] = []
        self.judged: list[float] = []

    def __call__(self, network: nn.Module, draws: RandomStreams) -> Tensor:
        (self.steps if torch.is_grad_enabled() else self.judged).append(float(network(torch.ones(1)).detach()))
        return super().__call__(network, draws)


def test_weights_are_judged_and_kept_as_their_mean_over_the_last_steps() -> None:
    watched = Watched()
    run = ramp(watched, validate_every=10, steps=60)
    run.fit()
    mean, expected, warm_up = 0.0, [], 6  # a tenth of 60 steps
    for step, weight in enumerate(watched.steps[1:], 1):  # the first is that before any step
        mean += (weight - mean) * max(1 / max(step - warm_up + 1, 1), 1 / (AVERAGED * 10))
        expected += [mean] * VALIDATION_BATCHES if step % 10 == 0 else []
    assert watched.judged[: len(expected)] == pytest.approx(expected, rel=1e-5)  # float32
    assert float(weights(run)["w"]) == pytest.approx(watched.judged[-1])


def test_a_loss_that_is_no_number_is_reported() -> None:
    with pytest.raises(UserError, match=r"loss nan at step \d+ of phase 'ramp': it must stay finite; give another `seed`"):
        ramp(Ramp(best_at=1.0, trap=0.05)).fit()


@pytest.mark.parametrize(("schedule", "expected"), [("halving", 0.5**2), ("cosine", 0.0)])
def test_the_rate_falls(schedule: str, expected: float) -> None:
    run = ramp(Ramp(1.0), schedule=schedule, halve_from=40, halve_every=40)
    assert run._rate(99, 1.0) == pytest.approx(0.01 * expected, abs=1e-9)
    assert run._rate(50, 0.5) == pytest.approx(0.005)


def test_minutes_are_kept() -> None:
    run = ramp(Ramp(best_at=1e3), minutes=0.6 / 60, validate_every=50, patience=10**6)
    started = time.monotonic()
    history = run.fit()
    assert 0.55 < time.monotonic() - started < 3.0  # a busy machine may take its time for the last step
    assert history[-1]["done"] == 1.0


@pytest.mark.parametrize("budget", [{"steps": 100}, {"minutes": 5.0}])
def test_a_phase_ends_after_the_most_steps_that_it_bears_with_a_rate_of_zero(budget: dict[str, Any]) -> None:
    run = ramp(Ramp(best_at=1e3, most_steps=20), schedule="cosine", **{"steps": 100, **budget})
    rates = [run._rate(step, run._budget(1.0, 20).done(Progress(step=step))) for step in (0, 10, 20)]
    assert rates == pytest.approx([0.001, 0.005, 0.0])
    last = run.fit()[-1]
    assert (last["step"], last["done"], last["bounded"]) == (20, 1.0, True)
    assert not ramp(Ramp(best_at=1e3, most_steps=20), steps=10).fit()[-1]["bounded"]


def test_large_images_bear_more_steps() -> None:
    """By the square root of their pixels, whatever their shape."""
    settings = TrainingSection()
    assert [most_steps(settings, pixels) for pixels in (10_000, 40_000, 100_000_000)] == [270, 540, 27_000]


def test_the_published_rate_of_stacks_is_halved_late_and_then_often() -> None:
    training = specialised(resolve({"preset": "paper"}), MODALITIES["3d"].presets).training
    run = ramp(Ramp(1.0), schedule="halving", halve_from=training.halve_from, halve_every=training.halve_every)
    rates = [run._rate(step, 0.0) / 0.01 for step in (0, 4_999, 5_000, 7_499, 7_500, 9_999, 10_000)]
    assert rates == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25, 0.125])  # METHOD, 5: at 5 000, 7 500 and 10 000


def test_a_training_that_diverges_goes_back_to_its_best_at_half_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step far too long, forced in the middle, must not be what the training ends with."""
    spoiled = trainer(configuration())
    validate, rates = spoiled._validate, []

    def validate_after_a_blow(index: int, loss: torch.Tensor, budget: Any) -> float:
        rates.append(spoiled._rate(50, 0.5))
        if spoiled.progress.step == 12 and index == 0:
            with torch.no_grad():
                for parameter in spoiled.raw.parameters():
                    parameter.mul_(30)
        return validate(index, loss, budget)

    monkeypatch.setattr(spoiled, "_validate", validate_after_a_blow)
    history = [event["validation"] for event in spoiled.fit() if event["phase"] == "denoise"]
    assert history[1] > 2 * history[0]
    assert history[2] < 1.1 * history[0]
    assert rates[2] == pytest.approx(rates[0] / 2)
