"""The criterion of models that speak spectrograms: that of Tacotron 2 (Shen et al. 2018), as fairseq has it.

Source: fairseq/criterions/tacotron2_loss.py.

Shapes: B batch, S states of the source, T steps of the target, F log-mel values of a step.
"""

import torch
from torch import Tensor
from torch.nn import functional

from s2st.models.spectrogram_decoding import Prediction
from s2st.models.transformer import padding_mask


def spectrogram_loss(
    prediction: Prediction, target: Tensor, lengths: Tensor, guided_sigma: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Tacotron 2's criterion for a target (B, T, F) of lengths (B,), and its terms {l1, mse, stop, attention}.

    L1 and squared errors of coarse and fine frames, the cross-entropy of stopping, and, where guided_sigma is above 0,
    what `guided_attention_loss` adds; each the mean over what is no padding.
    """
    true = padding_mask(lengths, target.size(1))[:, 0, 0]
    expected, coarse, fine = target[true], prediction.coarse[true].float(), prediction.fine[true].float()
    last = torch.arange(target.size(1), device=target.device) == lengths.unsqueeze(1) - 1
    stop_logits = prediction.stop_logits[true].float()
    terms = {
        "l1": functional.l1_loss(coarse, expected) + functional.l1_loss(fine, expected),
        "mse": functional.mse_loss(coarse, expected) + functional.mse_loss(fine, expected),
        "stop": functional.binary_cross_entropy_with_logits(stop_logits, last[true].float()),
    }
    if guided_sigma:
        terms["attention"] = guided_attention_loss(
            prediction.attention, lengths, prediction.state_lengths, guided_sigma
        )
    return torch.stack(list(terms.values())).sum(), {name: term.detach() for name, term in terms.items()}


def guided_attention_loss(attention: Tensor, lengths: Tensor, state_lengths: Tensor, sigma: float) -> Tensor:
    """Mean attention (B, T, S) that is far from the diagonal (Tachibana et al. 2017).

    Unlike fairseq's criterion of speech-to-speech, which takes frames of the source for states and fails.
    """
    steps = torch.arange(attention.size(1), device=attention.device)[:, None] / lengths[:, None, None]
    states = torch.arange(attention.size(2), device=attention.device) / state_lengths[:, None, None]
    weights = 1 - torch.exp(-((states - steps) ** 2) / (2 * sigma**2))
    return (weights * attention)[(steps < 1) & (states < 1)].mean()
