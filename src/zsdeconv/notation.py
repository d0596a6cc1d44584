"""The symbols of the method (Nature Communications 2024, doi 10.1038/s41467-024-48575-9), one meaning each.

========== ====================================================================== =====
symbol     meaning                                                                unit
========== ====================================================================== =====
`y`        raw noisy image, as the camera gave it, raw grid                       ADU
`b`        camera offset (`offset`)                                               ADU
`x`        object on the fine grid (2x finer laterally when super-resolving)      ADU above offset
`H`        convolution with the PSF on the fine grid (sum 1, centred)             1
`D`        lateral mean over `scale` x `scale` pixels; identity at scale 1        1
`f'`, `f`  denoising stage (raw -> raw), both stages (raw -> fine)
`alpha`    re-corruption magnitude (Eq. 2)                                        1
`beta1`    variance per ADU of signal: the camera's gain (Eq. 3)                  ADU
`beta2`    variance of the additive Gaussian noise (Eq. 3)                        ADU^2
`mu`       weight of the denoising term (Eq. 4)                                   1
`lambda`   weight of the Hessian term (Eq. 6), `lambda_hessian` in code           1
`y_hat`    re-corrupted image that the network sees (Eq. 2)                       ADU
`y_tilde`  re-corrupted image that it is asked to predict (Eq. 2)                 ADU
========== ====================================================================== =====

Shapes are annotated with jaxtyping: `Float[Tensor, "b c *zyx"]` is a batch of channels on a raw or fine grid of any
rank (2-D: `y x`, 3-D: `z y x`).
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from torch import Tensor

Batch: TypeAlias = Float[Tensor, "b c *zyx"]
Volume: TypeAlias = Float[Tensor, "*zyx"]
Pixels: TypeAlias = Float[np.ndarray, "*zyx"]

FWHM_PER_SIGMA = 2.3548
"""Full width at half maximum of a Gaussian over its standard deviation. Law: 2 sqrt(2 ln 2)."""
SIGMA_PER_MAD = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation. Law: 1 / Phi^-1(3/4)."""

SPATIAL_AXES = "ZYX"
"""Axes that carry a length, slowest first."""
AIRY_FWHM_WAVELENGTHS = 0.5145
"""Full width at half maximum of the Airy pattern in units of wavelength / NA. Law: the solution of (2 J_1(v) / v)^2 = 1/2."""
