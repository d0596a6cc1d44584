"""What the camera records of a known object under the stripes: the forward model of structured illumination."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zsdeconv.physics.operators import Blur, Operator
from zsdeconv.sim.detection import Detection
from zsdeconv.sim.patterns import SimParameters
from zsdeconv.symbols import Batch

FINER = 2


class Expose(Operator):
    """An object on the reconstruction's grid `b 1 y x` to its raw frames without noise, `b frame y/2 x/2`, in the order of the file.

    `D_p = (H (x . I_p))` at every other pixel, `I_p = 1 + depth cos(2 pi p.r + phase + phases[i])`: raw pixel j lies on fine pixel 2 j,
    where a `Reconstruct` with the same parameters puts it back. Frames are as bright as they were before their gains.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.sim.detection import detection_of
    >>> from zsdeconv.sim.patterns import Direction, nominal_phases_rad
    >>> stripes = Direction((0.0, 3.0), 0.8, 0.3, nominal_phases_rad(3), (1, 1, 1))
    >>> expose = Expose(SimParameters((stripes,), 0.1), detection_of(Optics(1.0, 600)))
    >>> expose(torch.ones(2, 1, 40, 62)).shape
    torch.Size([2, 3, 20, 31])
    """

    def __init__(self, parameters: SimParameters, detection: Detection) -> None:
        self.parameters = parameters
        self.lens = _Lens(detection, parameters.pixel_um / FINER)
        self._light = torch.from_numpy(_light(parameters))

    def __call__(self, x: Batch) -> Batch:
        bands = self.lens(x * self._waves(x.shape[2:], x))[..., ::FINER, ::FINER]
        return torch.einsum("fn,bnyx->bfyx", self._light.to(x.dtype).to(x.device), bands)

    def adjoint(self, y: Batch) -> Batch:
        bands = torch.einsum("fn,bfyx->bnyx", self._light.to(y.dtype).to(y.device), y)
        fine = bands.new_zeros((*bands.shape[:2], *(FINER * n for n in bands.shape[2:])))
        fine[..., ::FINER, ::FINER] = bands
        return (self.lens.adjoint(fine) * self._waves(fine.shape[2:], fine)).sum(1, keepdim=True)

    @property
    def reach_px(self) -> tuple[int, ...]:
        return self.lens.reach_px

    def _waves(self, yx_shape: torch.Size, like: Tensor) -> Tensor:
        """1, then cosine and sine of `2 pi p.r` for each direction (1 band y x)."""
        y, x = (self.parameters.pixel_um / FINER * np.arange(n) for n in yx_shape)
        turns = [2 * np.pi * np.add.outer(d.p_per_um[0] * y, d.p_per_um[1] * x) for d in self.parameters.directions]
        images = [np.ones(tuple(yx_shape)), *(wave(turn) for turn in turns for wave in (np.cos, np.sin))]
        return torch.from_numpy(np.stack(images)[None]).to(like.dtype).to(like.device)


class _Lens(Blur):
    """Blur by the OTF of the detection itself: a PSF that ends somewhere would have another one."""

    def __init__(self, detection: Detection, fine_um: float) -> None:
        super().__init__(detection.otf.psf((fine_um, fine_um)).values)
        self.detection, self.fine_um = detection, fine_um

    def _make_transfer(self, sizes: Sequence[int]) -> Tensor:
        ky, kx = np.fft.fftfreq(sizes[0], self.fine_um)[:, None], np.fft.rfftfreq(sizes[1], self.fine_um)
        return torch.from_numpy(self.detection(np.hypot(ky, kx)))


def _light(parameters: SimParameters) -> np.ndarray:
    """`I_p` (frame band) over the waves, each frame as bright as its gain says that it was."""
    light = np.zeros((parameters.layout.frames, 1 + 2 * len(parameters.directions)))
    for number, (frames, direction) in enumerate(zip(parameters.layout.numbers, parameters.directions, strict=True)):
        turn = direction.phase_rad + np.array(direction.phases_rad)
        light[frames, 0] = 1
        light[frames, 1 + 2 * number], light[frames, 2 + 2 * number] = direction.depth * np.cos(turn), -direction.depth * np.sin(turn)
        light[frames] /= np.array(direction.gains)[:, None]
    return light
