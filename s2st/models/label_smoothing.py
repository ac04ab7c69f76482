"""Cross-entropy with smoothed labels, as fairseq's label_smoothed_cross_entropy counts it.

Source: fairseq/criterions/label_smoothed_cross_entropy.py.
"""

import torch
from torch import Tensor
from torch.nn import functional

from s2st.units import PAD


def label_smoothed_loss(logits: Tensor, labels: Tensor, smoothing: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss a token, and {nll, accuracy, tokens}; labels that are PAD do not count.

    logits (B, T, V), labels (B, T). fairseq spreads the smoothed mass over the V - 1 wrong symbols, torch over all V:
    hence the factor.
    """
    logits, labels = logits.flatten(0, 1).float(), labels.flatten()
    spread = smoothing * logits.size(1) / (logits.size(1) - 1)
    loss = functional.cross_entropy(logits, labels, ignore_index=PAD, label_smoothing=spread)
    with torch.no_grad():
        nll = functional.cross_entropy(logits, labels, ignore_index=PAD)
        true = labels != PAD
        accuracy = (logits.argmax(1) == labels)[true].float().mean()
    return loss, {"nll": nll, "accuracy": accuracy, "tokens": true.sum()}
