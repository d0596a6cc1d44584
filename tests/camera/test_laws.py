"""Laws of detectors against Monte Carlo: moments, likelihood, and the independence of the two parts of a split."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from zsdeconv.camera.detector import Camera, Counter, Multiplier
from zsdeconv.errors import ConfigError

LAWS = {
    "quiet camera": Camera(0.0, 3.0, 0.3),
    "camera": Camera(0.0, 0.7, 2.1),
    "emccd": Multiplier(0.0, 60.0, 49.0),
    "noisy emccd": Multiplier(0.0, 20.0, 100.0),
    "photomultiplier": Multiplier(0.0, 5.0, 0.4, shape=3),
    "counting": Counter(0.0, 2.0),
}
ELECTRONS = (0.3, 2.5, 11.0, 75.0)
DRAWS = 60_000
SIGMAS = 4.5
"""Standard errors of a Monte Carlo mean that a test allows: one of some hundred such tests errs in a thousand runs."""


def measured(law: Camera, electrons: float, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.full((DRAWS,), electrons * law.gain, dtype=torch.float64)
    return law.simulate(mean, 1.0, generator), mean, generator


def off(sample: torch.Tensor, expected: float) -> float:
    """Deviation of a mean in its standard errors."""
    return abs(float(sample.mean()) - expected) / (float(sample.std()) / math.sqrt(len(sample)))


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("electrons", ELECTRONS)
def test_simulated_moments_are_those_of_the_law(name: str, electrons: float) -> None:
    law = LAWS[name]
    y, mean, _ = measured(law, electrons)
    d = y - mean
    assert off(d, 0.0) < SIGMAS
    assert off(d**2, float(law.variance(mean[0]))) < SIGMAS
    assert off(d**3, float(law.third_cumulant(mean[0]))) < SIGMAS
    fourth = law.kurtosis * law.beta1**3 * float(mean[0])
    assert off(d**4, fourth + 3 * float(law.variance(mean[0])) ** 2) < SIGMAS


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("electrons", ELECTRONS)
@pytest.mark.parametrize("fraction", [0.5, 0.23])
def test_the_parts_of_a_split_are_independent_measurements_of_one_mean(name: str, electrons: float, fraction: float) -> None:
    """Unbiased, of the variance of their share of the electrons, without cross cumulants of second and third order."""
    law = LAWS[name]
    y, mean, generator = measured(law, electrons)
    first, second = law.split(y, mean, fraction, generator)
    assert torch.allclose(fraction * first + (1 - fraction) * second, y)
    variance = float(law.variance(mean[0]))
    a, b = first - mean, second - mean
    sd = math.sqrt(variance / fraction), math.sqrt(variance / (1 - fraction))
    # The posterior of the light of a multiplier is taken as normal, which costs 0.6 % of the correlation and 2 % of the variance.
    allowed = 0.01 if isinstance(law, Multiplier) else 0.0
    error = SIGMAS / math.sqrt(DRAWS)
    skewness = law.skewness(float(mean[0]))
    for part, width in ((a, sd[0]), (b, sd[1])):
        assert off(part, 0.0) < SIGMAS
        assert float((part**2).mean()) / width**2 == pytest.approx(1, abs=error * float((part**2).std()) / width**2 + 2 * allowed)
    assert abs(float((a * b).mean())) / (sd[0] * sd[1]) < error * float((a * b).std()) / (sd[0] * sd[1]) + allowed
    gaussian = 0.7 * skewness if skewness < 0.13 or float(mean[0]) >= law._gaussian_from() else 0.0
    for cross in (a**2 * b / (sd[0] ** 2 * sd[1]), a * b**2 / (sd[0] * sd[1] ** 2)):
        assert abs(float((cross - 0.0).mean())) < error * float(cross.std()) + 2 * allowed + gaussian


def test_recorruption_of_few_electrons_is_not_independent_but_a_split_is() -> None:
    """What the split is for: third-order cross cumulants of Eq. 2 are those of the noise itself."""
    law = LAWS["counting"]
    y, mean, generator = measured(law, 2.5)
    z = law.variance(mean).sqrt() * torch.randn(DRAWS, generator=generator, dtype=torch.float64)
    a, b = y + z - mean, y - z - mean
    assert float((a**2 * b).mean()) > 0.5 * float(law.third_cumulant(mean[0]))
    first, second = law.split(y, mean, 0.5, generator)
    assert abs(float(((first - mean) ** 2 * (second - mean)).mean())) < 0.1 * float(law.third_cumulant(mean[0]))


def test_at_much_light_a_split_is_a_recorruption() -> None:
    law = LAWS["camera"]
    y, mean, _ = measured(law, 900.0)
    first, second = law.split(y, mean, 0.2, torch.Generator().manual_seed(3))
    z = law.variance(mean).sqrt() * torch.randn(DRAWS, generator=torch.Generator().manual_seed(3))
    alpha = 2.0
    torch.testing.assert_close(first, y + alpha * z)
    torch.testing.assert_close(second, y - z / alpha)


@pytest.mark.parametrize("name", ["camera", "emccd", "noisy emccd", "photomultiplier"])
def test_the_likelihood_is_the_blurred_density_of_the_counts(name: str) -> None:
    """Against numerical integration over the light."""
    law = LAWS[name]
    read, shape = law.read_noise / law.gain, getattr(law, "shape", None)
    u = np.array([-2.2 * read, 0.4 * read, 0.9, 3.3, 12.1])
    found = law.log_likelihood(torch.from_numpy(u)).exp().numpy()
    for n in (0, 1, 2, 5, 14):
        if n == 0 or shape is None:
            expected = stats.norm.pdf(u, n, read)
        else:

            def joint(x: float, v: float, n: int = n, k: int = shape) -> float:
                return float(stats.gamma.pdf(x, k * n, scale=1 / k) * stats.norm.pdf(v - x, 0, read))

            expected = [integrate.quad(joint, 0, max(v, 0) + 9 * read, args=(v,), limit=200)[0] for v in u]
        np.testing.assert_allclose(found[:, n], expected, rtol=1e-3, atol=1e-7)


def test_a_simulated_part_is_that_of_a_split() -> None:
    for law in LAWS.values():
        y, mean, generator = measured(law, 4.0)
        split, _ = law.split(y, mean, 0.4, generator)
        alone = law.simulate(mean, 0.4, generator)
        for power in (2, 3):
            a, b = (split - mean) ** power, (alone - mean) ** power
            error = math.hypot(float(a.std()), float(b.std())) / math.sqrt(DRAWS)
            assert abs(float(a.mean() - b.mean())) < SIGMAS * error + 0.02 * abs(float(a.mean()))


def test_hot_and_negative_pixels_are_split_too() -> None:
    y = torch.tensor([-80.0, 0.0, 1e9, 3e4]).repeat(2000)
    for law in LAWS.values():
        for mean in (0.0, 5 * law.gain, 1e6):
            parts = law.split(y, torch.full_like(y, mean), 0.5, torch.Generator().manual_seed(0))
            assert all(bool(part.isfinite().all()) for part in parts)


@pytest.mark.parametrize(
    "law", [lambda: Multiplier(0.0, 1.0, 1.0, shape=0), lambda: Camera(math.nan, 1.0, 1.0), lambda: Counter(0.0, -1.0)]
)
def test_laws_that_no_detector_has(law) -> None:
    with pytest.raises(ConfigError, match="it must"):
        law()
