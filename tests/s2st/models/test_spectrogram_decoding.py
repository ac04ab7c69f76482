"""What S2SPECT and the mel LSTM share, held against both; tiny, with random weights, or trained for seconds."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from s2st.features.speech_mel import NUM_MELS
from s2st.models.mel_lstm import MelLstm, MelLstmConfig
from s2st.models.s2spect import S2Spect, S2SpectConfig, SpectrogramDecoderConfig, SpectrogramSourceConfig
from s2st.models.spectrogram_decoding import PostnetConfig, SpectrogramModel, pack
from s2st.models.spectrogram_loss import spectrogram_loss

QUIET = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
S2SPECT = S2SpectConfig(
    SpectrogramSourceConfig(num_layers=0, model_dim=64, ffn_dim=128, deltas=False, conv_dim=64, **QUIET),
    SpectrogramDecoderConfig(
        num_layers=1, num_heads=1, model_dim=64, ffn_dim=128, prenet_dim=128, max_steps=60, **QUIET
    ),
    PostnetConfig(num_layers=3, dim=32, dropout=0.0),
)
LSTM = MelLstmConfig(
    band_window=16,
    band_stride=16,
    band_dim=8,
    encoder_dim=64,
    encoder_layers=2,
    reductions=1,
    attention_dim=32,
    location_filters=8,
    location_kernel=7,
    decoder_dim=96,
    prenet_dim=32,
    dropout=0.0,
)


def make(kind: str, prenet_dropout: float = 0.5) -> SpectrogramModel:
    torch.manual_seed(0)
    if kind == "s2spect":
        return S2Spect(replace(S2SPECT, decoder=replace(S2SPECT.decoder, prenet_dropout=prenet_dropout)))
    postnet = S2SPECT.postnet if kind == "lstm with postnet" else None
    return MelLstm(replace(LSTM, prenet_dropout=prenet_dropout, postnet=postnet))


both = pytest.mark.parametrize("kind", ["s2spect", "lstm", "lstm with postnet"])


@both
def test_a_batch_is_as_each_alone(kind) -> None:
    model = make(kind).eval()
    source, lengths = torch.randn(3, 61, NUM_MELS), torch.tensor([61, 30, 43])
    limits = torch.tensor([7, 5, 6])
    together = model.generate(source, lengths, limits)
    for row, length in enumerate(lengths.tolist()):
        (alone,) = model.generate(source[row : row + 1, :length], lengths[row : row + 1], limits[row : row + 1])
        assert len(alone.log_mel) <= 5 * limits[row]
        assert alone.finished == together[row].finished
        torch.testing.assert_close(together[row].log_mel, alone.log_mel, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(together[row].attention, alone.attention, atol=1e-5, rtol=1e-5)


@both
def test_padding_does_not_change_the_loss(kind) -> None:
    """In training, too: the postnet's BatchNorm counts true steps only."""
    model = make(kind, prenet_dropout=0.0)
    source, lengths, target = torch.randn(2, 40, NUM_MELS), torch.tensor([40, 40]), torch.randn(2, 6, 5 * NUM_MELS)
    steps = torch.tensor([6, 6])
    expected, _ = spectrogram_loss(model(source, lengths, target, steps), target, steps, guided_sigma=0.2)
    padded = [torch.nn.functional.pad(value, (0, 0, 0, 9), value=3.0) for value in (source, target)]
    found, _ = spectrogram_loss(model(padded[0], lengths, padded[1], steps), padded[1], steps, guided_sigma=0.2)
    torch.testing.assert_close(found, expected)


@both
def test_generating_is_what_is_predicted_of_it(kind) -> None:
    model = make(kind, prenet_dropout=0.0).eval()
    source, lengths = torch.randn(1, 40, NUM_MELS), torch.tensor([40])
    with torch.no_grad():
        state, said, steps = model.start(source, lengths), torch.zeros(1, 1, 5 * NUM_MELS), []
        for _ in range(6):
            said, _, _ = model.decode(said, state)
            steps.append(said)
        coarse = torch.cat(steps, 1)
        prediction = model(source, lengths, coarse, torch.tensor([6]))
    torch.testing.assert_close(prediction.coarse, coarse, atol=1e-5, rtol=1e-5)


@both
def test_it_ends_marked_and_is_reproduced_by_its_seed(kind) -> None:
    model = make(kind).eval()
    source, lengths = torch.randn(1, 40, NUM_MELS), torch.tensor([40])
    model.stop.bias.data.fill_(-1e9)
    limit = torch.tensor([4])
    (cut,) = model.generate(source, lengths, limit)
    assert (cut.finished, cut.log_mel.shape) == (False, (20, NUM_MELS))
    torch.testing.assert_close(model.generate(source, lengths, limit)[0].log_mel, cut.log_mel)
    assert not torch.equal(model.generate(source, lengths, limit, seed=1)[0].log_mel, cut.log_mel)
    model.stop.bias.data.fill_(1e9)
    (ended,) = model.generate(source, lengths, limit)
    assert (ended.finished, ended.log_mel.shape) == (True, (5, NUM_MELS))


def sentences() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ten sentences of two to four words: source (B, N, 80), its lengths, target (B, T, F), its steps."""
    torch.manual_seed(0)
    # A word is two sounds, with other values on the other side.
    heard, said = (
        torch.randn(6, 2, NUM_MELS).repeat_interleave(4, 1),
        torch.randn(6, 2, NUM_MELS).repeat_interleave(5, 1),
    )
    texts = [torch.randint(6, (length,)) for length in (2, 3, 4, 2, 3, 4, 2, 3, 4, 3)]
    sources = [heard[text].flatten(0, 1) for text in texts]
    targets = [pack(said[text].flatten(0, 1) * 2 - 5, 5) for text in texts]
    padded = [torch.nn.utils.rnn.pad_sequence(values, batch_first=True) for values in (sources, targets)]
    counts = [torch.tensor([len(value) for value in values]) for values in (sources, targets)]
    return padded[0], counts[0], padded[1], counts[1]


@pytest.mark.parametrize(("kind", "updates", "tolerance"), [("s2spect", 500, 0.5), ("lstm", 150, 0.2)])
def test_ten_sentences_are_learned(kind, updates, tolerance) -> None:
    """Near in the mean, where the deviation is 2, and of the exact length; attention goes from left to right.

    S2SPECT stays farther: its prenet's dropout hears spectrograms around -5 as they are.
    """
    source, lengths, target, steps = sentences()
    model = make(kind)
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98))
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = 0.005 * min(1, (update + 1) / 20, 2 * (updates - update) / updates)
        loss, _ = spectrogram_loss(model(source, lengths, target, steps), target, steps, guided_sigma=0.2)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    orders = []
    for row, spectrogram in enumerate(model.eval().generate(source, lengths, torch.full((10,), 30))):
        assert spectrogram.finished
        expected = target[row, : steps[row]].reshape(-1, NUM_MELS)
        assert spectrogram.log_mel.shape == expected.shape
        assert (spectrogram.log_mel - expected).abs().mean() < tolerance
        places = spectrogram.attention @ torch.arange(spectrogram.attention.size(1)).float()
        orders.append(torch.corrcoef(torch.stack([places, torch.arange(len(places))]))[0, 1])
    assert sum(orders) / len(orders) > 0.7
