"""Losses of a vocoder: log-mel distance, STFT distance, least-squares GAN, feature matching.

Shapes: B batch, N samples, M mel bands, F frequencies, T frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from s2st.audio import SAMPLE_RATE


class LogMel(nn.Module):
    """Natural logarithm of the mel spectrogram that HiFi-GAN takes: reflected edges, Slaney's mel filters."""

    filters: Tensor
    window: Tensor

    def __init__(self, num_mels: int = 80, fft_size: int = 1024, hop: int = 256) -> None:
        super().__init__()
        self.fft_size, self.hop = fft_size, hop
        filters = melscale_fbanks(fft_size // 2 + 1, 0, SAMPLE_RATE / 2, num_mels, SAMPLE_RATE, "slaney", "slaney")
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(fft_size), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """waveform (B, N) -> (B, M, T), N // hop frames."""
        edge = (self.fft_size - self.hop) // 2
        padded = F.pad(waveform.float().unsqueeze(1), (edge, edge), mode="reflect").squeeze(1)
        power = _power(padded, self.fft_size, self.hop, self.window, center=False)
        return (self.filters @ torch.sqrt(power + 1e-9)).clamp(min=1e-5).log()


class MelLoss(nn.Module):
    """Mean absolute difference of log-mel spectrograms; HiFi-GAN weighs it 45."""

    def __init__(self) -> None:
        super().__init__()
        self.log_mel = LogMel()

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """predicted (B, N), target (B, N) -> scalar."""
        return F.l1_loss(self.log_mel(predicted), self.log_mel(target))


class StftLoss(nn.Module):
    """Distance of magnitude spectra at several resolutions (Yamamoto et al. 2020, "Parallel WaveGAN").

    At each resolution: spectral convergence plus the mean absolute difference of log magnitudes.
    """

    def __init__(self, fft_sizes: tuple[int, ...] = (256, 512, 1024)) -> None:
        super().__init__()
        self.fft_sizes = fft_sizes
        for size in fft_sizes:
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """predicted (B, N), target (B, N) -> scalar, the mean over resolutions."""
        return torch.stack([self._distance(predicted, target, size) for size in self.fft_sizes]).mean()

    def _distance(self, predicted: Tensor, target: Tensor, size: int) -> Tensor:
        window = self.get_buffer(f"window{size}")
        ours, true = (
            _power(waveform.float(), size, size // 4, window, center=True).clamp(min=1e-7).sqrt()
            for waveform in (predicted, target)
        )
        convergence = torch.linalg.vector_norm(true - ours) / torch.linalg.vector_norm(true)
        return convergence + F.l1_loss(ours.log(), true.log())


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Least squares: real speech should score 1, generated 0. Scores (B, M) by discriminator -> scalar."""
    pairs = zip(real, fake, strict=True)
    return torch.stack([((1 - true) ** 2).mean() + (made**2).mean() for true, made in pairs]).sum()


def adversarial_loss(fake: list[Tensor]) -> Tensor:
    """Least squares: generated speech should score 1. Scores (B, M) by discriminator -> scalar."""
    return torch.stack([((1 - made) ** 2).mean() for made in fake]).sum()


def feature_matching_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Twice the summed mean absolute differences of the discriminators' feature maps -> scalar."""
    return 2 * torch.stack([F.l1_loss(made, true.detach()) for true, made in zip(real, fake, strict=True)]).sum()


def _power(waveform: Tensor, size: int, hop: int, window: Tensor, center: bool) -> Tensor:
    """Power spectrum. waveform (B, N) -> (B, F, T)."""
    spectrum = torch.stft(waveform, size, hop, window=window, center=center, return_complex=True)
    return spectrum.real**2 + spectrum.imag**2
