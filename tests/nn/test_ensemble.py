"""Several networks in one: whose turn it is, and that passes, training and files treat them as one network."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import zsdeconv as zs
from zsdeconv.config import Config, resolve
from zsdeconv.nn.contract import as_network, forward_with_symmetry
from zsdeconv.nn.ensemble import Ensemble, members_of
from zsdeconv.nn.fast import FastNet
from zsdeconv.physics.operators import Downsample
from zsdeconv.prediction.tiled import Passes, predict_frame
from zsdeconv.training.networks import make_network

LENS = zs.Optics(na=1.3, wavelength_nm=525)


def networks(count: int) -> Ensemble:
    torch.manual_seed(1)
    return Ensemble([FastNet(2, 2, Downsample(2, 2), (4, 8)) for _ in range(count)]).eval()


def settings(members: int, **training: int) -> Config:
    return resolve(
        {
            "network": {"channels": (4, 8)},
            "training": {"patch_px": 24, "batch": 2, "steps": 8, "validate_every": 4, "ensemble": members, **training},
            "prediction": {"passes": 2},
            "input": {"pixel_um": 0.065},
            "device": "cpu",
        }
    )


def image() -> np.ndarray:
    y, x = np.mgrid[:61, :66]
    light = 5 + 200 * np.exp(-((y - 30.0 - 10 * np.sin(x / 8)) ** 2) / 30)
    return 100 + np.random.default_rng(0).poisson(light)


def test_every_member_meets_every_symmetry_with_both_signs_of_the_noise() -> None:
    ensemble = networks(3)
    turns = [ensemble.turn(n) for n in range(ensemble.symmetries)]
    assert ensemble.symmetries == 3 * 8 and len(set(turns)) == 24
    assert all(turns[n][0] == turns[n + 1][0] for n in range(0, 24, 2))  # passes n and n + 1 have opposite noise


def test_a_pass_is_that_of_its_member() -> None:
    ensemble = networks(2)
    x = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(2))
    for n in (0, 1, 2, 7):
        member, own = ensemble.turn(n)
        for ours, theirs in zip(
            forward_with_symmetry(as_network(ensemble), n, x),
            forward_with_symmetry(as_network(ensemble.members[member]), own, x),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs)


def test_the_mean_over_passes_is_that_over_members_and_their_differences_are_in_the_spread() -> None:
    ensemble = networks(2)
    y = torch.rand(16, 24, generator=torch.Generator().manual_seed(2))
    both = predict_frame(as_network(ensemble), y, Passes(lambda _: torch.zeros_like(y), 4), factors=(2, 2))
    each = [predict_frame(as_network(member), y, Passes(lambda _: torch.zeros_like(y), 2), factors=(2, 2)) for member in ensemble.members]
    first, second = (prediction.deconvolved for prediction in each)
    torch.testing.assert_close(both.deconvolved, (first + second) / 2)
    assert both.spread is not None and each[0].spread is not None and each[1].spread is not None
    within = each[0].spread.square() + each[1].spread.square()  # of two passes each, one degree of freedom
    torch.testing.assert_close(both.spread.square(), (within + (first - second).square()) / 3, atol=1e-6, rtol=1e-3)  # squares, float32


def test_any_other_network_is_its_own_only_member() -> None:
    network = nn.Linear(2, 2)
    assert members_of(network) == [network]


def test_members_start_from_other_weights_and_the_first_from_those_of_a_single_network() -> None:
    single, several = (make_network(settings(count), 2, Downsample(2, 2), 2) for count in (1, 2))
    assert isinstance(several, Ensemble)
    first, second = (member.state_dict() for member in several.members)
    assert all(torch.equal(first[name], value) for name, value in single.state_dict().items())
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_an_ensemble_is_trained_restores_and_comes_back_from_its_file(tmp_path) -> None:
    told = []
    model = zs.train([image()], LENS, config=settings(2), callback=told.append)
    assert [event["phase"] for event in told][:: len(told) // 4] == ["denoise 1", "reimage 1", "denoise 2", "reimage 2"]
    assert told[-1]["done"] == 1.0 and all(a["done"] <= b["done"] for a, b in itertools.pairwise(told))
    trained = [dict(member.named_parameters()) for member in model.network.members]  # pyright: ignore[reportGeneralTypeIssues]
    again = make_network(model.config, 2, model.acquisition.forward_operator, 2)
    fresh = [dict(member.named_parameters()) for member in again.members]  # pyright: ignore[reportGeneralTypeIssues]
    for now, before in zip(trained, fresh, strict=True):
        for stage in ("stage1", "stage2"):
            assert any(not torch.equal(now[name], before[name]) for name in now if name.startswith(stage))
    restored = model.predict(image())
    again = zs.load(model.save(tmp_path / "both.zsd")).predict(image())
    np.testing.assert_array_equal(restored.deconvolved.data, again.deconvolved.data)
    assert restored.uncertainty is not None and float(restored.uncertainty.data.min()) > 0


def test_an_interrupted_training_of_several_continues_to_the_same_weights(tmp_path) -> None:
    class EnoughError(Exception):
        pass

    def stop(event) -> None:
        if event["phase"] == "reimage 1":
            raise EnoughError

    whole = zs.train([image()], LENS, config=settings(2))
    with pytest.raises(EnoughError):
        zs.train([image()], LENS, config=settings(2), checkpoint=tmp_path / "c.zsd", callback=stop)
    resumed = zs.train([image()], LENS, config=settings(2), checkpoint=tmp_path / "c.zsd", resume=True)
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0)
