"""S2SPECT against fairseq's s2spect_transformer, criterion, generator and loader, on the same random weights."""

import functools
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from s2st.config import UserError
from s2st.fairseq.s2spect_checkpoints import read_s2spect, write_s2spect
from s2st.fairseq.speech_config import CONFIG, s2spect_config, write_config
from s2st.models.s2spect import S2Spect, S2SpectConfig, SpectrogramDecoderConfig, SpectrogramSourceConfig
from s2st.models.spectrogram_decoding import PostnetConfig
from s2st.models.spectrogram_loss import guided_attention_loss, spectrogram_loss

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq import checkpoint_utils
from fairseq.criterions.tacotron2_loss import GuidedAttentionLoss, Tacotron2Criterion
from fairseq.speech_generator import AutoRegressiveSpeechGenerator

QUIET = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
TINY = S2SpectConfig(
    SpectrogramSourceConfig(num_layers=2, model_dim=32, ffn_dim=48, conv_dim=40, **QUIET),
    SpectrogramDecoderConfig(
        num_layers=2, model_dim=24, ffn_dim=48, prenet_dim=16, prenet_dropout=0.0, max_steps=60, **QUIET
    ),
    PostnetConfig(num_layers=3, dim=20, dropout=0.0),
)


@pytest.fixture
def pair(tmp_path: Path, randomize, monkeypatch):
    """A function that gives a model of ours and fairseq's own, loaded by fairseq from a file that we wrote."""

    def make(config: S2SpectConfig = TINY):
        ours = S2Spect(config)
        randomize(ours)
        write_s2spect(str(tmp_path / "s2spect.pt"), ours)
        write_config(tmp_path / CONFIG, s2spect_config(str(tmp_path)))
        monkeypatch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))
        place = {"data": str(tmp_path), "multitask_config_yaml": None}
        (theirs,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "s2spect.pt")], place)
        return ours, theirs, task

    return make


def batch(steps: tuple[int, ...] = (9, 9, 9)) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "source": torch.randn(len(steps), 61, 240),
        "source_lengths": torch.full((len(steps),), 61),
        "target": torch.randn(len(steps), max(steps), 400),
        "lengths": torch.tensor(steps),
    }


def test_the_size_is_fairseqs() -> None:
    with torch.device("meta"):
        model = S2Spect(S2SpectConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 48_198_786


def test_same_outputs_loss_and_gradients(pair) -> None:
    ours, theirs, _ = pair()
    ours.train(), theirs.train()
    given = batch()
    before = torch.cat([torch.zeros(3, 1, 400), given["target"][:, :-1]], 1)
    fine, stop_logits, extra = theirs(given["source"], given["source_lengths"], before, target_lengths=given["lengths"])
    prediction = ours(**given)
    torch.testing.assert_close(prediction.coarse, extra["feature_out"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prediction.fine, fine, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prediction.stop_logits, stop_logits.squeeze(2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prediction.attention, extra["attn"].transpose(1, 2), atol=1e-5, rtol=1e-5)

    criterion = Tacotron2Criterion(Namespace(), False, False, 0.4, 1.0, 0.0)
    last = (torch.arange(9) == 8).float().expand(3, -1)
    terms = criterion.compute_loss(extra["feature_out"], fine, stop_logits, given["target"], last, given["lengths"])
    loss, told = spectrogram_loss(prediction, given["target"], given["lengths"])
    torch.testing.assert_close(loss, sum(terms), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.stack(list(told.values())), torch.stack(terms).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss, sum(terms), atol=1e-5, rtol=1e-5)

    loss.backward()
    sum(terms).backward()
    our_layer, their_layer = ours.decoder.layers[0], theirs.decoder.transformer_layers[0]
    pairs = {
        ours.source.convolutions[0].weight: theirs.encoder.subsample.conv_layers[0].weight,
        ours.source.encoder.layers[1].fc1.weight: theirs.encoder.transformer_layers[1].fc1.weight,
        ours.prenet.layers[0].weight: theirs.decoder.prenet[0].layers[0][0].weight,
        ours.position_scale: theirs.decoder.pos_emb_alpha,
        our_layer.encoder_attn.k_proj.weight: their_layer.encoder_attn.k_proj.weight,
        ours.stop.weight: theirs.decoder.eos_proj.weight,
        ours.postnet.convolutions[1].weight: theirs.decoder.postnet.convolutions[1][0].weight,
    }
    for mine, other in pairs.items():
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-4)
    for mine, other in zip(ours.postnet.norms, theirs.decoder.postnet.convolutions, strict=True):
        torch.testing.assert_close(mine.running_var, other[1].running_var)


def test_guided_attention() -> None:
    attention = torch.rand(2, 7, 5)
    lengths, states = torch.tensor([7, 4]), torch.tensor([5, 3])
    expected = GuidedAttentionLoss(0.4)(attention.transpose(1, 2), states, lengths)
    torch.testing.assert_close(guided_attention_loss(attention, lengths, states, 0.4), expected)


@pytest.mark.parametrize(("bias", "frames"), [(0.94, {50, 100}), (0.97, {20, 50})])
def test_generation_is_fairseqs(pair, bias, frames) -> None:
    """Rows end at different steps, or at the limit."""
    ours, theirs, task = pair()
    ours.eval()
    given = batch((1, 1, 1))
    with torch.no_grad():
        for stop in (ours.stop, theirs.decoder.eos_proj):
            stop.weight.neg_()
            stop.bias.neg_().add_(bias)
    generator = AutoRegressiveSpeechGenerator(theirs, None, task.data_cfg, max_iter=20)
    net_input = {"src_tokens": given["source"], "src_lengths": given["source_lengths"]}
    found = ours.generate(given["source"], given["source_lengths"], torch.full((3,), 20))
    for row, mine in enumerate(found):
        # alone, since fairseq's postnet hears in a batch what it said after the end
        alone = {name: value[row : row + 1] for name, value in net_input.items()}
        (theirs_row,) = generator.generate(theirs, {"net_input": alone, "speaker": None})
        torch.testing.assert_close(mine.log_mel, theirs_row["feature"], atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(mine.attention, theirs_row["attn"].T[::5], atol=1e-5, rtol=1e-5)
        assert mine.finished == (len(mine.log_mel) < 100)
    assert {len(mine.log_mel) for mine in found} == frames


def test_files_go_both_ways(pair, tmp_path) -> None:
    ours, theirs, _ = pair()
    assert theirs.encoder.subsample.conv_layers[0].in_channels == 240, "deltas reach the model"
    read, info = read_s2spect(str(tmp_path / "s2spect.pt"))
    assert read.config == TINY
    assert info["heads_left_out"] == []
    for name, value in ours.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name

    content = torch.load(tmp_path / "s2spect.pt", weights_only=False)
    arguments = Namespace(**{**content["cfg"]["task"], **content["cfg"]["model"], "arch": "s2spect_transformer"})
    weights = {**theirs.state_dict(), "source_letter_decoder.proj.weight": torch.zeros(2, 2)}
    torch.save({"args": arguments, "model": weights}, tmp_path / "old.pt")
    read, info = read_s2spect(str(tmp_path / "old.pt"))
    assert read.config == TINY
    assert info["heads_left_out"] == ["source_letter_decoder"]
    arguments.no_scale_embedding = True
    torch.save({"args": arguments, "model": weights}, tmp_path / "old.pt")
    with pytest.raises(UserError, match="no_scale_embedding=True, but S2SPECT here has False"):
        read_s2spect(str(tmp_path / "old.pt"))


def test_without_deltas(pair, tmp_path) -> None:
    plain = replace(TINY, source=replace(TINY.source, deltas=False))
    write_s2spect(str(tmp_path / "plain.pt"), S2Spect(plain))
    assert read_s2spect(str(tmp_path / "plain.pt"))[0].config == plain
