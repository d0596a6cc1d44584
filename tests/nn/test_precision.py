"""The precision chosen for a device follows its capability flags alone."""

from typing import Any

import pytest
import torch

from zsdeconv.nn.precision import precision_for


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16-mixed"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "32-true"),
        ({}, "32-true"),
    ],
)
def test_cpu_needs_native_bfloat16(monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], expected: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert precision_for("cpu") == expected


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed"), ((12, 0), "bf16-mixed")]
)
def test_cuda_from_ampere_on_and_asks_the_device_named(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: asked.append(device) or capability)
    assert precision_for("cuda:1") == expected
    assert asked == [torch.device("cuda:1")]


def test_apple_gpu_stays_in_float32() -> None:
    assert precision_for(torch.device("mps")) == "32-true"
