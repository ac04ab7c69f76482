"""A pre-trained HuBERT or wav2vec 2.0 as the encoder of a translator: "enhanced direct" (Popuri et al. 2022).

Between it and the decoder gated convolutions may halve the frames, as fairseq's Conv1dAdaptor does
(fairseq/models/speech_to_text/xm_transformer.py).

Shapes: B batch, N samples, S frames, D width of the encoder.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from s2st.features.spectral import MFCC_HOP
from s2st.models.gated_convolutions import GatedConvolutions
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

KERNEL = 3  # of the adaptor's convolutions


@dataclass(frozen=True)
class PretrainedSourceConfig:
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    adaptor_layers: int = 0  # convolutions behind the encoder, each halves the frames; its frames are 20 ms
    max_frames: int = 3000  # of 10 ms, of the longest source


class PretrainedSource(nn.Module):
    def __init__(self, config: PretrainedSourceConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SpeechEncoder(config.encoder)
        width = config.encoder.width
        self.adaptor = GatedConvolutions(width, (width,) * config.adaptor_layers, KERNEL)
        self.frozen = False  # the encoder learns nothing; it drops out as ever

    def forward(self, waveform: Tensor, lengths: Tensor, states: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Waveforms (B, N), lengths (B,) in samples -> (B, S, D) and the lengths of its rows (B,).

        `states`, where tasks hear layers, gets the output alone.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features, lengths = self.encoder.convolve(waveform, lengths)
            valid = torch.arange(features.size(1), device=features.device) < lengths[:, None]
            x = self.encoder.encode(self.encoder.project(features), valid)
        x, lengths = self.adaptor(x, lengths)
        if states is not None:
            states.append(x)
        return x, lengths

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Frames of 10 ms of waveforms of such lengths (B,), in samples."""
        return lengths // MFCC_HOP
