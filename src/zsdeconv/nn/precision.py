"""Which arithmetic a device is fast in."""

from __future__ import annotations

import torch


def precision_for(device: str | torch.device) -> str:
    """Precision to train in on `device`: "bf16-mixed" where the hardware multiplies bfloat16 natively, else "32-true".

    Natively means the AVX-512 BF16 or AMX instructions of a CPU (half the time of float32), or an NVIDIA GPU of compute
    capability 8.0 (Ampere) or later. Where bfloat16 is only emulated it is slower than float32. The names are those of
    lightning-fabric. Only capability flags are read, nothing is timed.

    >>> precision_for("mps")
    '32-true'
    """
    device = torch.device(device)
    if device.type == "cpu":
        native = _cpu_has_bfloat16()
    elif device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def _cpu_has_bfloat16() -> bool:
    flags = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
