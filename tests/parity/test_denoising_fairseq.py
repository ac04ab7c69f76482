"""Masked spans of units against fairseq's DenoisingDataset: as many masks, and as many tokens left."""

import numpy as np
import pytest
import torch

from s2st.denoising import SpanMasking, mask_spans

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.data import DenoisingDataset, Dictionary

LENGTH, DRAWS = 100, 2000


def fairseq_sentences():
    """Noised sentences of LENGTH units; </s> is left out of theirs, since they may mask it and we do not."""
    dictionary = Dictionary()
    for unit in range(LENGTH):
        dictionary.add_symbol(str(unit))
    language, mask = dictionary.add_symbol("[en]"), dictionary.add_symbol("<mask>")
    tokens = torch.tensor([dictionary.bos(), *range(4, 4 + LENGTH), language])
    torch.manual_seed(0)
    noise = {"mask": 0.3, "mask_random": 0, "insert": 0, "rotate": 0, "permute_sentences": 0, "bpe": None}
    spans = {"replace_length": 1, "mask_length": "span-poisson", "poisson_lambda": 3.5}
    sentences = [tokens.clone() for _ in range(DRAWS)]
    theirs = DenoisingDataset(
        sentences, [len(tokens)] * DRAWS, dictionary, mask, None, False, 1, **noise, **spans, eos=language
    )
    return [theirs[i]["source"][1:-1].numpy() for i in range(DRAWS)], mask


def test_the_same_distribution():
    theirs, mask = fairseq_sentences()
    random = np.random.default_rng(0)
    ours = [mask_spans(np.arange(4, 4 + LENGTH), mask, SpanMasking(0.3, 3.5), random) for _ in range(DRAWS)]
    for measure in (lambda row: (row == mask).sum(), len):
        here, there = (np.array([measure(row) for row in rows]) for rows in (ours, theirs))
        assert here.mean() == pytest.approx(there.mean(), rel=0.02)
        assert here.std() == pytest.approx(there.std(), rel=0.1)
