"""Beam search against fairseq's SequenceGenerator: same weights, same hypotheses in the same order, same scores."""

import numpy as np
import pytest
import torch

from s2st.beam_search import SearchOptions, search
from s2st.models.unit_transformer import UnitTransformer, pad_tokens
from s2st.units import EOS, NUM_SPECIALS, PAD

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.models.transformer import TransformerModel
from fairseq.sequence_generator import SequenceGenerator

from tests.parity.test_unit_transformer_fairseq import NUM_UNITS, fairseq_model, our_model

Found = list[list[tuple[list[int], float]]]  # of each sentence and hypothesis: tokens, score


def sentences(num: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    units = [random.integers(NUM_SPECIALS, NUM_SPECIALS + NUM_UNITS, random.integers(3, 9)) for _ in range(num)]
    return [np.append(sentence, EOS) for sentence in units]


@pytest.fixture(scope="module")
def models() -> tuple[TransformerModel, UnitTransformer]:
    """A model of fairseq's that has half learned to reverse, so that lengths differ and beams disagree; and ours."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    theirs, _ = fairseq_model(pre_ln=True, share=True, activation="relu")
    optimizer = torch.optim.Adam(theirs.parameters(), lr=5e-3)
    for step in range(80):
        batch = sentences(32, seed=step)
        source, lengths = pad_tokens(batch)
        target, _ = pad_tokens([np.append(EOS, tokens[-2::-1]) for tokens in batch])
        labels, _ = pad_tokens([np.append(tokens[-2::-1], EOS) for tokens in batch])
        logits, _ = theirs(source, lengths, target)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=PAD).backward()
        optimizer.step()
    yield theirs.eval(), our_model(theirs, True, True, "relu").eval()
    torch.set_num_threads(threads)


def fairseq_search(
    theirs: TransformerModel, sources: list[np.ndarray], prefixes: torch.Tensor | None = None, **options
) -> Found:
    source, lengths = pad_tokens(sources)
    generator = SequenceGenerator([theirs], theirs.decoder.dictionary, **options)
    if block := generator.repeat_ngram_blocker:
        # Its CUDA kernel reads the tokens so far. What it runs on CPUs reads the padding behind them, and bans nothing.
        def block_repeats(tokens, log_probs, num_sentences, beam, step):
            return block(tokens[:, : step + 1], log_probs, num_sentences, beam, step)

        del generator.repeat_ngram_blocker  # a module's child gives way only to a module
        generator.repeat_ngram_blocker = block_repeats
    sample = {"net_input": {"src_tokens": source, "src_lengths": lengths}}
    found = generator.generate([theirs], sample, prefix_tokens=prefixes)
    return [[(h["tokens"][:-1].tolist(), float(h["score"])) for h in hypotheses] for hypotheses in found]


def our_search(
    ours: UnitTransformer, sources: list[np.ndarray], options: SearchOptions, prefixes: torch.Tensor | None = None
) -> Found:
    source, lengths = pad_tokens(sources)
    symbols = torch.full((len(sources),), EOS)
    found = search(
        ours.decode,
        ours.start(source, lengths),
        beginnings=symbols,
        ends=symbols,
        limits=(lengths * options.max_len_a + options.max_len_b).long(),
        allowed=torch.arange(ours.vocabulary.size) != PAD,
        options=options,
        prefixes=prefixes,
    )
    return [[(h.tokens.tolist(), h.score) for h in hypotheses] for hypotheses in found]


def assert_same(ours: Found, theirs: Found) -> None:
    assert [[tokens for tokens, _ in each] for each in ours] == [[tokens for tokens, _ in each] for each in theirs]
    for our_sentence, their_sentence in zip(ours, theirs, strict=True):
        our_scores, their_scores = ([score for _, score in each] for each in (our_sentence, their_sentence))
        assert our_scores == pytest.approx(their_scores, abs=1e-4)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("beam", [1, 5, 10])
def test_same_n_best_in_the_same_order(models, beam, length_penalty):
    theirs, ours = models
    sources = sentences(12, seed=1000)
    options = SearchOptions(beam, n_best=beam, length_penalty=length_penalty, max_len_a=0, max_len_b=15)
    expected = fairseq_search(theirs, sources, beam_size=beam, len_penalty=length_penalty, max_len_a=0, max_len_b=15)
    assert_same(our_search(ours, sources, options), expected)
    assert len({len(tokens) for each in expected for tokens, _ in each}) > 4, "nothing is shown by equal lengths"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
        ({"no_repeat_ngram": 3}, {"no_repeat_ngram_size": 3}),
        ({"temperature": 2.5}, {"temperature": 2.5}),
    ],
)
def test_same_with_other_options(models, ours, theirs):
    their_model, our_model = models
    sources = sentences(12, seed=1001)
    sources = [np.append(np.tile(tokens[:2], 4), EOS) for tokens in sources]  # repetitions, to have what is banned
    options = SearchOptions(5, n_best=5, max_len_a=0, max_len_b=12, **ours)
    expected = fairseq_search(their_model, sources, beam_size=5, max_len_a=0, max_len_b=12, **theirs)
    assert_same(our_search(our_model, sources, options), expected)
    plain = fairseq_search(their_model, sources, beam_size=5, max_len_a=0, max_len_b=12)
    assert plain != expected, "the option has changed nothing"


def test_same_limit_that_grows_with_the_source(models):
    """One sentence at a time: fairseq's limit is that of the longest source of a batch, ours that of each."""
    theirs, ours = models
    sources = sentences(12, seed=1002)
    options = SearchOptions(5, n_best=5, max_len_a=0.5, max_len_b=1)
    expected = [fairseq_search(theirs, [each], beam_size=5, max_len_a=0.5, max_len_b=1)[0] for each in sources]
    assert_same(our_search(ours, sources, options), expected)
    assert any(len(each[0][0]) == int(len(source) * 0.5 + 1) for each, source in zip(expected, sources, strict=True))


def test_same_with_prefixes(models):
    theirs, ours = models
    sources = sentences(6, seed=1003)
    prefixes, _ = pad_tokens([source[:n] for source, n in zip(sources, (2, 0, 1, 3, 2, 1), strict=True)])
    expected = fairseq_search(theirs, sources, prefixes, beam_size=5, max_len_a=0, max_len_b=15)
    options = SearchOptions(5, n_best=5, max_len_a=0, max_len_b=15)
    assert_same(our_search(ours, sources, options, prefixes), expected)
    for source, hypotheses, length in zip(sources, expected, (2, 0, 1, 3, 2, 1), strict=True):
        assert all(tokens[:length] == source[:length].tolist() for tokens, _ in hypotheses)
