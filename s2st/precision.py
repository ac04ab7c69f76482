"""bfloat16 where a device has it.

On processors without instructions for it, as in most laptops, PyTorch computes it by detours: linear layers take 6
times as long as in float32, convolutions 30 times (AVX2, torch 2.x, one thread). With AVX-512 it is faster on AMD, but
on Intel without matrix units linear layers take 1.8 times as long (torch 2.11).
"""

import torch

MATRIX_UNITS = ("amx_bf16", "bf16")  # of Intel, of ARM


def has_bf16(device: torch.device) -> bool:
    """Tell whether bfloat16 is worth its while on a device."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    vectors = found.get("avx512_bf16") and "Intel" not in str(found.get("cpu_name"))
    return bool(vectors) or any(found.get(name) for name in MATRIX_UNITS)


def autocast(device: torch.device, bf16: bool, fp16: bool = False) -> torch.autocast:
    """Run matrix products in bfloat16 if that is wanted and the device has it, or in float16 if that is wanted."""
    dtype = torch.float16 if fp16 else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=fp16 or (bf16 and has_bf16(device)))
