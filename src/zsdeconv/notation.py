"""Symbols of the method, with one meaning each, and constants of notation.

The equation numbers are those of Qiao, Zeng et al., Nature Communications 15, 4180 (2024), doi 10.1038/s41467-024-48575-9.

=============== ==================================================================== ================== =====
symbol          meaning                                                              unit               Eq.
=============== ==================================================================== ================== =====
`y`             raw noisy image on the raw grid                                      ADU                1
`x`             object on the fine grid                                              ADU above offset   1
`H`             convolution with the PSF on the fine grid (sum 1, centred)           1                  1
`D`             lateral mean over `scale` x `scale` pixels, the identity at scale 1  1                  1
`alpha`         magnitude of the re-corruption                                       1                  2
`z`             noise drawn for the re-corruption, with the variance of Eq. 3        ADU                2
`y_hat`         re-corrupted image: the input of the network                         ADU                2
`y_tilde`       re-corrupted image: the noisy target of the network                  ADU                2
`b`             camera offset (`offset`)                                             ADU                3
`A`             lateral mean over 5 x 5 pixels, the signal estimate                  1                  3
`beta1`         variance per signal: the gain of the camera                          ADU per electron   3
`beta2`         variance of the additive noise: the read variance of the camera      ADU^2              3
`mu`            weight of the denoising term (`loss.mu`)                             1                  4
`f'`            denoising stage, raw grid to raw grid                                                   5
`f`             both stages, raw grid to fine grid                                                      6
`lambda`        weight of the Hessian term (`loss.lambda_hessian`)                   1                  6
`R_Hessian`     mean squared second differences of an image                          network unit^2     6
`gamma`         weight of the gap term (`loss.gamma`)                                1                  8
`G`             difference of the denoised odd and even slices                       network unit       8
`Y_hat`, etc.   reconstructions of re-corrupted raw frames, as `y_hat` and `y_tilde` ADU                10
`H_SIM`         convolution with the PSF of the SIM reconstruction                   1                  11
=============== ==================================================================== ================== =====

Shapes are annotated with jaxtyping: `Float[Tensor, "b c *zyx"]` is a batch of channels on a raw or fine grid of any
rank (2: `y x`, 3: `z y x`). The words of the project are defined in docs/glossary.md.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from torch import Tensor

Batch: TypeAlias = Float[Tensor, "b c *zyx"]
"""Batch of channels on a grid of any rank."""
Volume: TypeAlias = Float[Tensor, "*zyx"]
"""One image of any rank as a tensor."""
Pixels: TypeAlias = Float[np.ndarray, "*zyx"]
"""One image of any rank as an array."""

FWHM_PER_SIGMA = 2.3548
"""Full width at half maximum of a Gaussian over its standard deviation. Law: 2 sqrt(2 ln 2)."""
SIGMA_PER_MAD = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation. Law: 1 / Phi^-1(3/4)."""

SPATIAL_AXES = "ZYX"
"""Axes with a pixel size, slowest first."""
AIRY_FWHM_WAVELENGTHS = 0.5145
"""Full width at half maximum of the Airy pattern in units of wavelength / NA. Law: the solution of (2 J_1(v) / v)^2 = 1/2."""
