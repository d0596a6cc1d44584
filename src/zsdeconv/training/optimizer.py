"""Optimizers: AdamW for all weights, or orthogonalised momentum (Muon) for the kernels and AdamW for the rest.

A kernel is a matrix from what it reads to what it makes. Its gradient is dominated by few directions; Muon (K. Jordan et al., 2024)
replaces the singular values of the momentum by about 1, so that all directions learn at the same pace. On the benchmark cases that gains
as much as twice the steps (benchmarks/results.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zsdeconv.config import TrainingSection

WEIGHT_DECAY = 1e-4
"""Of AdamW. Chosen: small; a thousand times as much loses 0.06 dB on the benchmark."""
MOMENTUM = 0.95
"""Part of the momentum that stays at each step. Source: Jordan et al.; 0.9 gains 0.05 dB less."""
KERNEL_RATE = 12.0
"""Rate of orthogonalised steps over that of AdamW. Chosen on the benchmark: planes bear four times as much, volumes do not."""
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration of Jordan et al.: they take any singular value from 0.001 to 1 to between 0.7 and 1.2 in five rounds."""
ROUNDS = 5
"""Rounds of it. Source: Jordan et al."""


class Steps:
    """What makes the steps of a training: one optimizer for all parameters, or one for kernels and one for the rest.

    >>> steps = Steps([nn.Parameter(torch.zeros(4, 1, 3, 3)), nn.Parameter(torch.zeros(4))], TrainingSection())
    >>> [type(each).__name__ for each in steps.optimizers]
    ['Orthogonalised', 'AdamW']
    """

    def __init__(self, parameters: Sequence[nn.Parameter], settings: TrainingSection) -> None:
        chosen = [settings.optimizer == "muon" and is_kernel(each) for each in parameters]
        kernels, rest = ([p for p, c in zip(parameters, chosen, strict=True) if c == wanted] for wanted in (True, False))
        rate = settings.learning_rate
        self.optimizers: list[torch.optim.Optimizer] = [Orthogonalised(kernels, rate)] if kernels else []
        if rest:
            self.optimizers.append(torch.optim.AdamW(rest, rate, weight_decay=WEIGHT_DECAY, fused=True))

    def __call__(self, rate: float) -> None:
        """One step along the present gradients, which are used up."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def forget(self) -> None:
        """Begin anew, without moments."""
        for optimizer in self.optimizers:
            optimizer.state.clear()

    def state(self) -> dict[str, Tensor]:
        """All moments, to be restored later."""
        return {
            f"{k}.{n}.{name}": tensor
            for k, optimizer in enumerate(self.optimizers)
            for n, state in optimizer.state_dict()["state"].items()
            for name, tensor in state.items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue where `state` was taken."""
        for k, optimizer in enumerate(self.optimizers):
            moments: dict[int, dict[str, Tensor]] = {}
            parameters = optimizer.param_groups[0]["params"]
            for name, tensor in state.items():
                of, n, key = name.split(".", 2)
                if int(of) == k:
                    # A fused optimizer walks through memory and takes for granted that its moments lie there as the weights do.
                    moment = torch.empty_like(parameters[int(n)], requires_grad=False)
                    moments.setdefault(int(n), {})[key] = moment.copy_(tensor) if tensor.ndim else tensor
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
            for parameter, own in optimizer.state.items():  # in the layout of the weights, as before: another one rounds differently
                own |= {key: torch.empty_like(parameter).copy_(value) for key, value in own.items() if value.ndim}


def is_kernel(parameter: Tensor) -> bool:
    """Whether a weight is a convolution kernel that sees more than one pixel.

    >>> is_kernel(torch.zeros(8, 4, 3, 3)), is_kernel(torch.zeros(1, 8, 1, 1)), is_kernel(torch.zeros(8))
    (True, False, False)
    """
    return parameter.ndim > 3 and parameter[0, 0].numel() > 1


class Orthogonalised(torch.optim.Optimizer):
    """Steps along the momentum with its singular values replaced by about 1 (Muon), with the look-ahead of Nesterov.

    The momentum of a kernel is a matrix with a row for each channel made; steps of tall ones are longer by the root of height over width.
    """

    def __init__(self, kernels: Sequence[nn.Parameter], learning_rate: float) -> None:
        super().__init__(kernels, {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step with the present gradients."""
        for group in self.param_groups:
            kernels = [kernel for kernel in group["params"] if kernel.grad is not None]
            ahead = [kernel.grad.lerp(self._momentum(kernel), MOMENTUM).flatten(1) for kernel in kernels]
            for kernel, direction in zip(kernels, orthogonalised(ahead), strict=True):
                longer = max(1.0, direction.shape[0] / direction.shape[1]) ** 0.5
                kernel.add_(direction.view_as(kernel), alpha=-KERNEL_RATE * longer * group["lr"])

    def _momentum(self, kernel: nn.Parameter) -> Tensor:
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(kernel)
        return state["momentum"].lerp_(kernel.grad, 1 - MOMENTUM)


def orthogonalised(matrices: Sequence[Tensor]) -> list[Tensor]:
    """`U f(S) V^T` of each matrix `U S V^T`, with all of f(S) about 1; matrices of zeros stay zeros.

    The rounds are `x -> (a + b x x^T + c (x x^T)^2) x`, where `x` has no more rows than columns: their factors are small matrices, those
    of all `x` with equally many rows are multiplied at once, and `x` is read twice.

    >>> matrix = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.2, 0.0]])
    >>> values = torch.linalg.svdvals(orthogonalised([matrix])[0])
    >>> bool((values > 0.6).all() and (values < 1.3).all())
    True
    """
    wide = [each.T if each.shape[0] > each.shape[1] else each for each in matrices]
    wide = [each / each.norm().clamp(min=torch.finfo(each.dtype).tiny) for each in wide]
    done = list(matrices)
    for rows in {len(each) for each in wide}:
        chosen = [n for n, each in enumerate(wide) if len(each) == rows]
        factors = _factors(torch.stack([wide[n] @ wide[n].T for n in chosen]))
        for n, factor in zip(chosen, factors, strict=True):
            done[n] = factor @ wide[n]
    return [each if each.shape == matrix.shape else each.T for each, matrix in zip(done, matrices, strict=True)]


def _factors(gram: Tensor) -> Tensor:
    """What the rounds multiply `x` by, from `gram`, `b m m`, its `x x^T`."""
    one = total = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device).expand_as(gram)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        factor = torch.baddbmm(one, gram, b * one + c * gram, beta=a)
        total = factor @ total
        gram = factor @ gram @ factor
    return total
