"""bfloat16 where a device has it.

On processors without instructions for it, as in most laptops, PyTorch computes it by detours: linear layers take 6
times as long as in float32, convolutions 30 times (AVX2, torch 2.x, one thread).
"""

import torch

INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # the last one of ARM


def has_bf16(device: torch.device) -> bool:
    """Tell whether bfloat16 is worth its while on a device."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(name) for name in INSTRUCTIONS)


def autocast(device: torch.device, bf16: bool, fp16: bool = False) -> torch.autocast:
    """Run matrix products in bfloat16 if that is wanted and the device has it, or in float16 if that is wanted."""
    dtype = torch.float16 if fp16 else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=fp16 or (bf16 and has_bf16(device)))
