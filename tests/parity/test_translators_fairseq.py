"""Unit Transformers that go to fairseq and come from there: the same logits, losses, gradients and hypotheses."""

import math
import re
from argparse import Namespace

import numpy as np
import pytest
import torch

from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.decoding import translate_units
from s2st.fairseq.binarized import side_prefixes, write_indexed
from s2st.fairseq.dictionary import Dictionary as OurDictionary
from s2st.fairseq.translator_writer import write_translator
from s2st.fairseq.translators import read_translator
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig, pad_tokens
from s2st.units import NUM_SPECIALS, PAD, UNK, reduce

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq import options as their_options
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from fairseq.data import Dictionary
from fairseq.models.bart import BARTModel
from fairseq.models.bart.model import bart_base_architecture, mbart_base_architecture
from fairseq.models.transformer import TransformerModel, base_architecture
from fairseq.tasks.multilingual_denoising import MultilingualDenoisingConfig, MultilingualDenoisingTask
from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask
from fairseq_cli import generate

NUM_UNITS, LANGUAGES, SMOOTHING = 30, ("en", "hi"), 0.2
SIZES = {
    "encoder_embed_dim": 32,
    "encoder_ffn_embed_dim": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "max_source_positions": 60,
    "max_target_positions": 50,
    "dropout": 0.0,
}
UNITS = [np.arange(n) * 5 % 28 for n in (12, 5, 9)]


def save(path, model, arguments, **task):
    """Write a checkpoint as fairseq's trainer does: the model's settings in a Namespace."""
    cfg = {"model": arguments, "task": task, "criterion": {"label_smoothing": SMOOTHING}}
    torch.save({"args": None, "cfg": cfg, "model": model.state_dict()}, path)
    return str(path)


def check_same(ours, theirs, row):
    """Hold logits, loss and gradients against fairseq's; row[i] is the token there that i is here."""
    vocabulary, row = ours.vocabulary, torch.as_tensor(row)
    source, lengths = pad_tokens([vocabulary.source_tokens(u, "hi") for u in UNITS])
    target, _ = pad_tokens([vocabulary.target_tokens(u[::-1], "en") for u in UNITS])
    true = target[:, 1:] != PAD
    theirs.eval()
    their_logits, _ = theirs(row[source], lengths, row[target[:, :-1]])
    our_logits = ours(source, lengths, target)
    torch.testing.assert_close(our_logits[true], their_logits[true][:, row], rtol=1e-5, atol=1e-5)
    if sorted(row.tolist()) != [*range(their_logits.size(2))]:
        return  # one side has symbols that the other lacks: their losses differ
    labels = row[target[:, 1:]].flatten()
    their_sum, _ = label_smoothed_nll_loss(their_logits.log_softmax(2).flatten(0, 1), labels, SMOOTHING, PAD)
    our_loss, _ = ours.loss(our_logits, target)
    torch.testing.assert_close(our_loss, their_sum / true.sum(), rtol=1e-5, atol=1e-5)
    our_loss.backward()
    (their_sum / true.sum()).backward()
    pairs = [
        (ours.embed_tokens.weight.grad, theirs.decoder.embed_tokens.weight.grad[row]),
        (ours.encoder.layers[0].fc1.weight.grad, theirs.encoder.layers[0].fc1.weight.grad),
        (ours.decoder.layers[0].encoder_attn.k_proj.bias.grad, theirs.decoder.layers[0].encoder_attn.k_proj.bias.grad),
    ]
    if ours.config.positions == "learned":
        used = int(lengths.max())
        theirs_positions = theirs.encoder.embed_positions.weight.grad[2 : 2 + used]
        pairs.append((ours.source_input.positions.grad[:used], theirs_positions))
    for our_gradient, their_gradient in pairs:
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pre_ln", [False, True])
@pytest.mark.parametrize("architecture", [bart_base_architecture, mbart_base_architecture])
def test_bart_is_read(tmp_path, randomize, architecture, pre_ln):
    """The dictionary of fairseq's own task: units, languages in the order of its settings, <mask>."""
    base = Dictionary()
    for unit in range(NUM_UNITS):
        base.add_symbol(str(unit))
    base.save(str(tmp_path / "dict.txt"))
    settings = MultilingualDenoisingConfig(data=str(tmp_path), langs="hi,en", add_lang_token=True, bpe=None)
    task = MultilingualDenoisingTask.setup_task(settings)
    norms = {"encoder_normalize_before": pre_ln, "decoder_normalize_before": pre_ln}
    arguments = Namespace(arch="mbart_base", _name="mbart_base", **SIZES, **norms)
    architecture(arguments)
    theirs = BARTModel.build_model(arguments, task)
    randomize(theirs)
    with torch.no_grad():
        for side in (theirs.encoder, theirs.decoder):
            side.embed_positions.weight[PAD] = 0.0
        theirs.encoder.embed_tokens.weight[PAD] = 0.0
    path = save(tmp_path / "model.pt", theirs, arguments, _name="multilingual_denoising", langs="hi,en")
    ours = read_translator(path, OurDictionary.by_number(NUM_UNITS), NUM_UNITS)
    assert ours.config == UnitTransformerConfig(
        num_layers=2,
        model_dim=32,
        num_heads=4,
        ffn_dim=64,
        dropout=0.0,
        activation="gelu",
        pre_ln=pre_ln,
        num_units=NUM_UNITS,
        languages=("hi", "en"),
        max_positions=50,
        label_smoothing=SMOOTHING,
        positions="learned",
        embedding_norm=True,
        scale_embeddings=architecture is mbart_base_architecture,
        bart_targets=True,
    )
    assert ours.vocabulary.language_symbol("en") == task.dictionary.index("[en]")
    assert ours.vocabulary.mask == task.mask_idx
    check_same(ours, theirs, range(len(task.dictionary)))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(("num_units", "num_listed"), [(28, 28), (NUM_UNITS, 25)])
def test_a_dictionary_sorted_by_frequency_is_turned_into_the_order_of_units(
    tmp_path, randomize, num_units, num_listed, share
):
    random = np.random.default_rng(0)
    counted = [random.permutation(num_listed)[: random.integers(1, num_listed)] for _ in range(20)]
    by_frequency = OurDictionary.by_frequency([np.arange(num_listed), *counted])
    by_frequency.save(str(tmp_path / "dict.src.txt"))
    dictionary = Dictionary.load(str(tmp_path / "dict.src.txt"))
    arguments = Namespace(
        arch="transformer", share_decoder_input_output_embed=True, share_all_embeddings=share, **SIZES
    )
    base_architecture(arguments)
    task = Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    theirs = TransformerModel.build_model(arguments, task)
    randomize(theirs)
    path = save(tmp_path / "model.pt", theirs, arguments, _name="translation")
    ours = read_translator(path, OurDictionary.load(tmp_path / "dict.src.txt"), num_units)
    assert ours.config.languages == ()
    row = [*range(NUM_SPECIALS), *(dictionary.index(str(unit)) for unit in range(num_units))]
    assert row != sorted(row)
    assert row.count(UNK) == 1 + num_units - num_listed  # of units that fairseq never saw, too
    check_same(ours, theirs, row)
    with pytest.raises(UserError, match=r"knows unit \d+, but the codebook makes units 0 to 9"):
        read_translator(path, by_frequency, 10)
    with pytest.raises(UserError, match=r"its dictionary makes 27; give the dict.txt"):
        read_translator(path, OurDictionary.by_number(23), num_units)


def half_trained(**changes) -> UnitTransformer:
    """A model that has half learned to reverse, so that lengths differ and beams disagree."""
    torch.manual_seed(0)
    sizes = {"num_layers": 2, "model_dim": 32, "num_heads": 4, "ffn_dim": 64, "num_units": NUM_UNITS, "dropout": 0.0}
    model = UnitTransformer(UnitTransformerConfig(**sizes, max_positions=50, label_smoothing=0.0, **changes))
    optimizer, random = torch.optim.Adam(model.parameters(), lr=4e-3), np.random.default_rng(1)
    for _ in range(50):
        sentences = [some_units(random, random.integers(3, 9)) for _ in range(16)]
        source, lengths = pad_tokens([model.vocabulary.source_tokens(units, "en") for units in sentences])
        target, _ = pad_tokens([model.vocabulary.target_tokens(units[::-1], "hi") for units in sentences])
        loss, _ = model.loss(model(source, lengths, target), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def some_units(random, length) -> np.ndarray:
    return reduce(random.integers(0, NUM_UNITS, length))[0]


@pytest.fixture(autouse=True)
def repaired(monkeypatch):
    """Give the task of mBART the settings under the name by which it asks for them: as released, it runs nowhere."""
    monkeypatch.setattr(TranslationFromPretrainedBARTTask, "args", property(lambda task: task.cfg), raising=False)


def their_hypotheses(folder, beam, *arguments):
    """Run fairseq-generate -> reduced units and scores, in the order of the sources."""
    parser = their_options.get_generation_parser()
    given = [str(folder), "--path", f"{folder}/model.pt", "--results-path", f"{folder}/beam{beam}", *arguments]
    given += ["--beam", str(beam), "--max-len-a", "0", "--max-len-b", "20", "--batch-size", "2", "--cpu"]
    generate.main(their_options.parse_args_and_arch(parser, given))
    lines = (folder / f"beam{beam}" / "generate-test.txt").read_text().splitlines()
    found = [re.fullmatch(r"H-(\d+)\t(\S+)\t(.*)", line) for line in lines if line.startswith("H-")]
    ordered = sorted((int(match[1]), match[3].split(), float(match[2]) * math.log(2)) for match in found)
    return [([int(unit) for unit in units if unit.isdecimal()], score) for _, units, score in ordered]


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({}, []),
        ({"share_all_embeddings": False, "pre_ln": True}, []),
        ({"languages": LANGUAGES}, ["translation_from_pretrained_bart"]),
        (
            {"languages": LANGUAGES, "positions": "learned", "embedding_norm": True, "activation": "gelu"},
            ["translation_from_pretrained_bart"],
        ),
    ],
    ids=["plain", "plain pre-LN", "languages", "languages BART"],
)
def test_fairseq_generate_runs_what_we_write(tmp_path, changes, arguments):
    model = half_trained(**changes)
    write_translator(str(tmp_path), model)
    dictionary = OurDictionary.load(tmp_path / "dict.txt")
    random = np.random.default_rng(0)
    # fairseq-generate (of fairseq-fixed 0.12.3.1) leaves the last batch out, and the longest sentences come last
    sources = [some_units(random, length) for length in (12, 5, 9, 17, 30, 31)]
    for lang, prefix in zip(("en", "hi"), side_prefixes(tmp_path, "test", ("en", "hi")), strict=True):
        dictionary.save(tmp_path / f"dict.{lang}.txt")
        write_indexed(prefix, [dictionary.encode(source) for source in sources], len(dictionary))
    task = ["-s", "en", "-t", "hi", "--task", *(arguments or ["translation"])]
    task += ["--langs", ",".join(LANGUAGES), "--prepend-bos"] if arguments else []
    lengths = set()
    for beam in (1, 5):
        options = SearchOptions(beam, max_len_a=0.0, max_len_b=20)
        ours = translate_units(model, sources, ["en"] * 6, ["hi"] * 6, options)
        theirs = their_hypotheses(tmp_path, beam, *task)
        for (hypothesis, *_), (units, score) in zip(ours[:4], theirs, strict=True):
            assert hypothesis.units.tolist() == reduce(np.array(units))[0].tolist()
            assert hypothesis.score == pytest.approx(score, abs=1e-4)
            lengths.add(len(units))
    assert len(lengths) > 2

    read = read_translator(f"{tmp_path}/model.pt", dictionary, NUM_UNITS)
    assert read.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name


def test_merges_cannot_be_written(tmp_path):
    model = UnitTransformer(UnitTransformerConfig(num_layers=1, model_dim=8, num_heads=1, ffn_dim=8, merges=((1, 2),)))
    with pytest.raises(UserError, match="byte-pair merges"):
        write_translator(str(tmp_path), model)
