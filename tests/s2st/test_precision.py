"""bfloat16 where a device has it."""

import pytest
import torch

from s2st.precision import autocast, has_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"neon": True}, torch.float32),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, torch.bfloat16),
        ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"bf16": True}, torch.bfloat16),
    ],
)
def test_bf16_only_where_the_processor_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    with autocast(CPU, bf16=True):
        assert torch.nn.Linear(4, 4)(torch.zeros(2, 4)).dtype == expected


def test_not_unless_wanted():
    with autocast(CPU, bf16=False):
        assert torch.nn.Linear(4, 4)(torch.zeros(2, 4)).dtype == torch.float32


@pytest.mark.parametrize("native", [True, False])
def test_gpus_that_emulate_it_do_without(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert has_bf16(torch.device("cuda")) == native
