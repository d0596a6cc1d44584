"""Seconds per training step of the published two-stage U-Net (13 109 010 parameters) on a CPU.

    python benchmarks/published_step.py [--threads 2] [--steps 5] [--precision auto] [--margin-px 0]

One step: batch of 4 patches of 128 x 128 raw pixels with a zero margin of 16 (160 x 160), x2 super-resolution; forward,
loss (Eq. 4 to 6 with the Hessian term), backward, Adam. Random data: the time does not depend on it. `--margin-px` cuts raw
pixels from each border of the deconvolved image before its last layers (0: all of it is computed, as published; up to 16
minus the radius of the PSF loses nothing that the fidelity term sees).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date

import torch
from torch import Tensor

from zsdeconv.nn.precision import precision_for
from zsdeconv.nn.unet import TwoStageUNet
from zsdeconv.training import losses

BATCH, PATCH_PX, MARGIN_PX, SCALE = 4, 128, 16, 2


def forward_operator(fine_px: int, crop_px: int) -> Callable[[Tensor], Tensor]:
    """Periodic Gaussian blur, 2 x 2 mean, crop: the cost of the physics."""
    frequency = torch.fft.fftfreq(fine_px)[:, None] ** 2 + torch.fft.rfftfreq(fine_px) ** 2
    transfer = torch.exp(-2 * (torch.pi * 2.0) ** 2 * frequency)

    def apply(x: Tensor) -> Tensor:
        blurred = torch.fft.irfft2(torch.fft.rfft2(x) * transfer, s=(fine_px, fine_px))
        raw = blurred.unflatten(-1, (-1, SCALE)).unflatten(-3, (-1, SCALE)).mean((-3, -1))
        return raw[..., crop_px : crop_px + PATCH_PX, crop_px : crop_px + PATCH_PX]

    return apply


def make_step(precision: str, margin_px: int) -> Callable[[], None]:
    """One training step on data of its own."""
    generator = torch.Generator().manual_seed(0)
    network = TwoStageUNet(generator=generator)
    adam = torch.optim.Adam(network.parameters(), 5e-5, fused=True)
    crop_px = MARGIN_PX - margin_px
    y_hat = torch.nn.functional.pad(torch.rand(BATCH, 1, PATCH_PX, PATCH_PX, generator=generator), (MARGIN_PX,) * 4)
    y_tilde = torch.rand(BATCH, 1, PATCH_PX, PATCH_PX, generator=generator)
    optics = forward_operator(SCALE * (PATCH_PX + 2 * crop_px), crop_px)

    def step() -> None:
        adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            denoised, deconvolved = network(y_hat, margin_px)
        inner = denoised[..., crop_px : crop_px + PATCH_PX, crop_px : crop_px + PATCH_PX]
        loss_dec = losses.deconvolution_loss(deconvolved, y_tilde, optics, lambda_hessian=0.02)
        losses.two_stage_loss(losses.denoising_loss(inner, y_tilde), loss_dec).backward()
        adam.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=("auto", "bf16-mixed", "32-true"), default="auto")
    parser.add_argument("--margin-px", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    precision = precision_for("cpu") if options.precision == "auto" else options.precision
    step = make_step(precision, options.margin_px)
    step()  # the first one also plans and allocates
    seconds, cpu_seconds = [], []
    for _ in range(options.steps):
        start, cpu_start = time.perf_counter(), time.process_time()
        step()
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    result = {
        "seconds_per_step": round(statistics.median(seconds), 3),
        "all": [round(s, 3) for s in seconds],
        "cpu_seconds_per_step": round(statistics.median(cpu_seconds), 3),  # well under threads x seconds: the machine was busy
        "threads": options.threads,
        "precision": precision,
        "margin_px": options.margin_px,
        "torch": torch.__version__,
        "machine": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "date": date.today().isoformat(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
