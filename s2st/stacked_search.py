"""Greedy search where several units make one step of the decoder.

Same choices as fairseq's StackUnitSequenceGenerator (fairseq/tasks/speech_to_speech.py), except that each sentence has
a limit, and that <s> cannot be chosen, which fairseq would take for a unit.

Shapes: N sentences, R units a step, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from s2st.beam_search import Hypothesis, ends_in_loop
from s2st.models.decoder_cache import DecoderCache
from s2st.units import EOS, NUM_SPECIALS


@torch.inference_mode()
def search_stacked(
    decode: Callable[[Tensor, DecoderCache], Tensor], cache: DecoderCache, limits: Tensor, units_per_step: int
) -> list[Hypothesis]:
    """Take the likeliest unit in every place of a step, until one of them is the end.

    `decode` reads tokens (N, R) after those in the cache -> logits (N, R, V). limits (N,) are in steps. The score is
    the sum of the log-probabilities of the tokens before the end.
    """
    tokens = torch.full((len(limits), units_per_step), EOS, device=limits.device)
    chosen, scores = [], []
    going = torch.ones_like(limits, dtype=torch.bool)
    while going.any():
        log_probs = decode(tokens, cache).float().log_softmax(2)
        log_probs[:, :, :EOS] = -torch.inf
        log_probs[:, :, EOS + 1 : NUM_SPECIALS] = -torch.inf
        score, tokens = log_probs.max(2)
        chosen.append(tokens)
        scores.append(score)
        going = going & (tokens != EOS).all(1) & (len(chosen) < limits)
    rows = zip(torch.cat(chosen, 1), torch.cat(scores, 1), (limits * units_per_step).tolist(), strict=True)
    return [_hypothesis(tokens[:limit], scores[:limit]) for tokens, scores, limit in rows]


def _hypothesis(tokens: Tensor, scores: Tensor) -> Hypothesis:
    """Cut tokens (L,) before the end, if it is there."""
    ends = (tokens == EOS).nonzero()
    length = int(ends[0]) if len(ends) else len(tokens)
    kept = tokens[:length].cpu().numpy()
    return Hypothesis(kept, float(scores[:length].sum()), bool(len(ends)), not len(ends) and ends_in_loop(kept))
