"""S2UT against fairseq's: same random weights, same logits, multitask loss, gradients, translations."""

from argparse import Namespace

import numpy as np
import pytest
import torch
import yaml

from s2st.beam_search import SearchOptions
from s2st.fairseq.auxiliary_heads import read_task
from s2st.fairseq.dictionary import Dictionary as OurDictionary
from s2st.fairseq.s2ut_checkpoints import s2ut_weights
from s2st.models.s2ut import S2ut, S2utConfig, UnitDecoderConfig
from s2st.models.speech_source import SpeechSourceConfig
from s2st.speech_decoding import translate_speech
from s2st.units import EOS, NUM_SPECIALS, PAD, reduce

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.criterions.speech_to_speech_criterion import SpeechToUnitMultitaskTaskCriterion
from fairseq.data import Dictionary
from fairseq.data.audio.data_cfg import MultitaskConfig
from fairseq.data.audio.speech_to_speech_dataset import SpeechToSpeechDataset
from fairseq.data.data_utils import collate_tokens
from fairseq.models.speech_to_speech.s2s_transformer import S2UTTransformerModel, s2ut_architecture_fisher
from fairseq.sequence_generator import SequenceGenerator
from fairseq.tasks.speech_to_speech import StackUnitSequenceGenerator
from fairseq.tasks.speech_to_text import DummyMultiTask

NUM_UNITS, SMOOTHING, FRAMES = 12, 0.2, 45
SYMBOLS = ("a", "b", "c", "d")
HEAD = {
    "decoder_layers": 1,
    "decoder_embed_dim": 16,
    "decoder_ffn_embed_dim": 24,
    "decoder_attention_heads": 2,
    "dropout": 0.0,
}
TASKS = {
    "source_letter": {"decoder_type": "transformer", "encoder_layer": 1, "loss_weight": 8.0, "decoder_args": HEAD},
    "target_letter": {
        "decoder_type": "transformer",
        "loss_weight_max": 4.0,
        "loss_weight_min": 0.5,
        "loss_weight_decay_steps": 10,
        "label_smoothing": 0.1,
        "decoder_args": HEAD,
    },
    "source_ctc": {"decoder_type": "ctc", "encoder_layer": 2, "loss_weight": 0.7},
    "decoder_target_ctc": {"decoder_type": "ctc", "decoder_layer": 2, "loss_weight": 1.6},
}
LETTERS = {name: [[4, 5, 6], [5, 7], [6, 6, 4, 4]] for name in TASKS}
LETTERS["decoder_target_ctc"] = [[4, 5], [6], [7, 4]]  # CTC needs as many steps of the decoder


def unit_dictionary() -> Dictionary:
    dictionary = Dictionary()
    for unit in range(NUM_UNITS):
        dictionary.add_symbol(str(unit))
    return dictionary


def fairseq_tasks(folder, tasks: dict) -> dict:
    OurDictionary.of(SYMBOLS).save(folder / "dict.txt")
    content = {name: {**settings, "dict": str(folder / "dict.txt")} for name, settings in tasks.items()}
    (folder / "config_multitask.yaml").write_text(yaml.safe_dump(content))
    configs = MultitaskConfig(folder / "config_multitask.yaml").get_all_tasks()
    return {name: DummyMultiTask(config, config.tgt_dict) for name, config in configs.items()}


def fairseq_model(tasks: dict, units_per_step: int) -> S2UTTransformerModel:
    arguments = Namespace(
        input_feat_per_channel=80,
        input_channels=1,
        conv_channels=40,
        encoder_embed_dim=32,
        encoder_ffn_embed_dim=48,
        encoder_layers=2,
        decoder_embed_dim=24,
        decoder_layers=2,
        decoder_attention_heads=2,
        share_decoder_input_output_embed=True,
        max_source_positions=100,
        max_target_positions=60,
        dropout=0.0,
        target_speaker_embed=False,
        n_frames_per_step=units_per_step,
    )
    s2ut_architecture_fisher(arguments)
    task = Namespace(args=Namespace(target_is_code=True), target_dictionary=unit_dictionary(), multitask_tasks=tasks)
    return S2UTTransformerModel.build_model(arguments, task)


def our_model(theirs: S2UTTransformerModel, tasks: dict, units_per_step: int) -> S2ut:
    ours = S2ut(
        S2utConfig(
            num_units=NUM_UNITS,
            source=SpeechSourceConfig(
                num_layers=2,
                model_dim=32,
                ffn_dim=48,
                conv_dim=40,
                dropout=0.0,
                attention_dropout=0.0,
                activation_dropout=0.0,
            ),
            decoder=UnitDecoderConfig(2, 24, 2, 48, 0.0, 0.0, 0.0),
            tasks={name: read_task(name, settings, SYMBOLS, "test") for name, settings in tasks.items()},
            units_per_step=units_per_step,
            max_steps=60,
            label_smoothing=SMOOTHING,
        )
    )
    ours.load_state_dict(s2ut_weights(theirs.state_dict()))
    return ours


def their_batch(labels: list[torch.Tensor], features: torch.Tensor, units_per_step: int) -> dict:
    """Collate as fairseq's data set does."""
    packer = Namespace(n_frames_per_step=units_per_step, tgt_dict=unit_dictionary())
    packed = [SpeechToSpeechDataset.pack_units(packer, row) for row in labels]
    return {
        "id": torch.arange(len(labels)),
        "net_input": {
            "src_tokens": features,
            "src_lengths": torch.full((len(labels),), features.size(1)),
            "prev_output_tokens": collate_tokens(packed, PAD, EOS, move_eos_to_beginning=True),
        },
        "target": collate_tokens(labels, PAD, EOS),
        "target_lengths": torch.tensor([len(row) for row in packed]),
        "ntokens": sum(len(row) for row in labels),
    }


def with_tasks(batch: dict, tasks: dict) -> dict:
    batch["multitask"] = {}
    for name in tasks:
        end = [] if name.endswith("ctc") else [EOS]
        rows = [torch.tensor(row + end) for row in LETTERS[name]]
        batch["multitask"][name] = {
            "target": collate_tokens(rows, PAD),
            "target_lengths": torch.tensor([len(row) for row in rows]),
            "ntokens": sum(len(row) for row in rows),
            "net_input": {"prev_output_tokens": collate_tokens(rows, PAD, move_eos_to_beginning=True)},
        }
    return batch


@pytest.mark.parametrize("units_per_step", [1, 3])
@pytest.mark.parametrize("names", [(), tuple(TASKS)], ids=["alone", "tasks"])
def test_logits_loss_and_gradients(units_per_step: int, names, tmp_path, randomize) -> None:
    settings = {name: TASKS[name] for name in names}
    tasks = fairseq_tasks(tmp_path, settings)
    theirs = fairseq_model(tasks, units_per_step)
    randomize(theirs)
    theirs.decoder.embed_tokens.weight.data[PAD] = 0
    for name in names:
        if not name.endswith("ctc"):
            getattr(theirs, f"{name}_decoder").embed_tokens.weight.data[PAD] = 0
    ours = our_model(theirs, settings, units_per_step)

    units = [np.arange(n) * 5 % NUM_UNITS for n in (13, 6, 9)]
    rows = [torch.from_numpy(ours.config.labels(row)) for row in units]
    features = torch.randn(3, FRAMES, 80)
    batch = with_tasks(their_batch(rows, features, units_per_step), tasks)
    lengths, beginnings = batch["net_input"]["src_lengths"], torch.full((3,), EOS)

    expected, _ = theirs(**batch["net_input"])
    found, _ = ours(features, lengths, beginnings, batch["target"])
    true = batch["target"] != PAD
    torch.testing.assert_close(found[true], expected[true], rtol=1e-5, atol=1e-5)

    step = 4
    task = Namespace(target_dictionary=unit_dictionary(), multitask_tasks=tasks)
    criterion = SpeechToUnitMultitaskTaskCriterion(task, sentence_avg=False, label_smoothing=SMOOTHING)
    for name, each in tasks.items():
        criterion.set_multitask_loss_weight(name, each.args.get_loss_weight(step))
    summed, size, _ = criterion(theirs, batch)
    labels = {name: batch["multitask"][name]["target"] for name in names}
    loss, metrics = ours.loss(features, lengths, beginnings, batch["target"], labels, step)
    torch.testing.assert_close(loss, summed / size, rtol=1e-5, atol=1e-5)
    assert set(metrics) == {"nll", "accuracy", "tokens", *(f"task_{name}" for name in names)}

    (summed / size).backward()
    loss.backward()
    expected_gradients = s2ut_weights({name: p.grad for name, p in theirs.named_parameters()})
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    assert set(gradients) == set(expected_gradients)
    for name, gradient in gradients.items():
        atol = 1e-5 + 1e-5 * float(expected_gradients[name].abs().max())
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-4, atol=atol, msg=name)


@pytest.fixture(scope="module", params=[1, 3], ids=["single", "stacked"])
def translators(request) -> tuple[S2UTTransformerModel, S2ut, torch.Tensor]:
    """Models that have learned a little, so that translations differ, also in length, and what they heard."""
    torch.manual_seed(0)
    theirs = fairseq_model({}, request.param)
    ours = our_model(theirs, {}, request.param)
    random, features = np.random.default_rng(0), torch.randn(8, FRAMES, 80)
    rows = [torch.from_numpy(ours.config.labels(random.integers(0, NUM_UNITS, 6 + 2 * i))) for i in range(8)]
    batch = their_batch(rows, features, request.param)
    optimizer = torch.optim.Adam(theirs.parameters(), 2e-3)
    for _ in range(60):
        logits, _ = theirs(**batch["net_input"])
        torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch["target"], ignore_index=PAD).backward()
        optimizer.step()
        optimizer.zero_grad()
    return theirs.eval(), our_model(theirs, {}, request.param).eval(), features


@pytest.mark.parametrize("translators", [1], indirect=True)
@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("length_penalty", [1.0, 0.3])
def test_translations(beam: int, length_penalty: float, translators) -> None:
    theirs, ours, features = translators
    lengths = torch.full((8,), FRAMES)
    limits = {"max_len_a": 0.2, "max_len_b": 9}
    settings = {"beam_size": beam, "len_penalty": length_penalty, "unk_penalty": torch.inf}  # <unk> is no unit
    generator = SequenceGenerator([theirs], unit_dictionary(), **settings, **limits)
    sample = {"net_input": {"src_tokens": features, "src_lengths": lengths}}
    expected = generator.generate([theirs], sample)
    options = SearchOptions(beam, beam, length_penalty, **limits)
    found = translate_speech(ours, features, lengths, ["hi"] * 8, options)
    for their_list, our_list in zip(expected, found, strict=True):
        assert len(our_list) == len(their_list)
        for their, our in zip(their_list, our_list, strict=True):
            assert our.units.tolist() == reduce(their["tokens"][:-1].numpy() - NUM_SPECIALS)[0].tolist()
            assert our.score == pytest.approx(float(their["score"]), abs=1e-4)
    assert len({len(best["tokens"]) for best, *_ in expected}) > 2


@pytest.mark.parametrize("translators", [3], indirect=True)
def test_stacked_translations(translators) -> None:
    theirs, ours, features = translators
    lengths = torch.full((8,), FRAMES)
    sample = {"net_input": {"src_tokens": features, "src_lengths": lengths}, "speaker": None}
    expected = StackUnitSequenceGenerator(unit_dictionary(), NUM_UNITS).generate([theirs], sample)
    found = translate_speech(ours, features, lengths, ["hi"] * 8, SearchOptions(max_len_a=4.0, max_len_b=0))
    for (their,), (our,) in zip(expected, found, strict=True):
        assert our.units.tolist() == reduce(their["tokens"].numpy() - NUM_SPECIALS)[0].tolist()
        assert our.score == pytest.approx(their["score"], abs=1e-4)
    assert len({len(their["tokens"]) for (their,) in expected}) > 2


@pytest.mark.parametrize("translators", [3], indirect=True)
def test_stacked_translations_are_cut_at_their_limit(translators) -> None:
    _, ours, features = translators
    found = translate_speech(
        ours, features, torch.full((8,), FRAMES), ["hi"] * 8, SearchOptions(max_len_a=0, max_len_b=6)
    )
    assert all(len(our.units) <= 6 for (our,) in found)
    assert not all(our.finished for (our,) in found)
