"""Speech without a task: a unit language model goes on from the units of a prompt, or begins by itself.

As GSLM samples (Lakhotia et al. 2021; fairseq's examples/textless_nlp/gslm/ulm/sample.py).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from s2st.beam_search import SearchOptions, search
from s2st.decoding import UnitHypothesis, unit_hypothesis
from s2st.models.unit_lm import UnitLm
from s2st.models.unit_transformer import pad_tokens
from s2st.units import EOS, reduce


@dataclass(frozen=True)
class SamplingOptions:
    temperature: float = 0.7  # logits are divided by it; GSLM's command has 0.7
    top_k: int = 0  # draw from so many of the likeliest units; 0: from all
    max_units: int = 500  # of a continuation, after its prompt

    def __post_init__(self) -> None:
        if self.max_units < 1:
            raise ValueError(f"max_units={self.max_units} must be at least 1")
        self.search_options()  # which checks the others

    def search_options(self) -> SearchOptions:
        """Say the same to the search."""
        return SearchOptions(sampling=True, temperature=self.temperature, top_k=self.top_k)


def continue_units(
    model: UnitLm, prompts: Sequence[np.ndarray], seeds: Sequence[int], options: SamplingOptions = SamplingOptions()
) -> list[UnitHypothesis]:
    """Draw one utterance for each prompt: reduced units (P,), which it begins with; P may be 0.

    It ends where the model says so, or is cut after max_units more, or at the model's last position. What is drawn
    depends on its prompt and its seed alone, whatever else is in the batch. Raises ValueError for a prompt that leaves
    no position.
    """
    assert not model.training, "call model.eval() first: dropout would disturb the samples"
    if not prompts:
        return []
    most = model.config.max_positions - 1  # the end of the utterance before is read, too
    if (longest := max(map(len, prompts))) >= most:
        raise ValueError(f"a prompt of {longest} units leaves nothing of the model's {most}; cut it")
    device = model.decoder.embed_tokens.weight.device
    tokens, lengths = pad_tokens([model.vocabulary.encode(prompt) for prompt in prompts])
    ends = torch.full((len(prompts),), EOS, device=device)
    found = search(
        model.decode,
        model.start(len(prompts)),
        beginnings=ends,
        ends=ends,
        limits=(lengths + options.max_units).clamp(max=most).to(device),
        allowed=torch.from_numpy(model.vocabulary.target_tokens_allowed).to(device),
        options=options.search_options(),
        prefixes=tokens.to(device),
        generator=[torch.Generator(device).manual_seed(seed) for seed in seeds],
    )
    utterances = [unit_hypothesis(model.vocabulary, best) for (best,) in found]
    # a unit that is drawn twice in a row, as reduced units never are, goes on
    return [dataclasses.replace(utterance, units=reduce(utterance.units)[0]) for utterance in utterances]


@torch.inference_mode()
def surprisals(model: UnitLm, utterances: Sequence[np.ndarray]) -> np.ndarray:
    """Negative log-probability, in nats, of each utterance of reduced units (N,) and its end -> (U,), float64."""
    assert not model.training, "call model.eval() first: dropout would disturb the probabilities"
    sequences = [model.vocabulary.target_tokens(units, "") for units in utterances]
    tokens = pad_tokens(sequences)[0].to(model.decoder.embed_tokens.weight.device)
    log_probs = model(tokens).float().log_softmax(2)
    chosen = -log_probs.gather(2, tokens[:, 1:, None])[:, :, 0].double().cpu().numpy()
    return np.array([row[: len(sequence) - 1].sum() for row, sequence in zip(chosen, sequences, strict=True)])
