"""The floating-point precision of training, by the capabilities of the device."""

from __future__ import annotations

import torch

MIN_CUDA_CAPABILITY = (8, 0)
"""Lowest compute capability with native bfloat16. Law: NVIDIA introduced it with Ampere, compute capability 8.0."""


def precision_for(device: str | torch.device) -> str:
    """Precision of training on `device`: "bf16-mixed" where the hardware multiplies bfloat16 natively, else "32-true".

    Native support means the AVX-512 BF16 or AMX instructions of a CPU (half the time of float32), or an NVIDIA GPU of at least
    `MIN_CUDA_CAPABILITY`. Emulated bfloat16 is slower than float32. The names are those of lightning-fabric. The choice
    depends on capability flags only, not on timings.

    >>> precision_for("mps")
    '32-true'
    """
    device = torch.device(device)
    if device.type == "cpu":
        native = _cpu_has_bfloat16()
    elif device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= MIN_CUDA_CAPABILITY
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU reports native bfloat16 instructions."""
    flags = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch lack the function
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
