"""The recogniser: spelling, padding, learning."""

import numpy as np
import pytest
import torch

from s2st.audio import SAMPLE_RATE
from s2st.models.recognizer import (
    Recognizer,
    RecognizerConfig,
    alphabet_of,
    normalize_text,
    pad,
    to_letters,
)

TONES = {"a": 300.0, "b": 700.0, "c": 1500.0, "d": 3000.0, " ": 0.0}


def tones(text: str, seed: int = 0) -> np.ndarray:
    """Say `text` in tones of 120 ms with 60 ms of near-silence after each."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(0.12 * SAMPLE_RATE)) / SAMPLE_RATE
    pause = np.zeros(int(0.06 * SAMPLE_RATE))
    parts = [part for letter in text for part in (0.3 * np.sin(2 * np.pi * TONES[letter] * time), pause)]
    speech = np.concatenate([pause, *parts])
    return (speech + 0.003 * rng.standard_normal(len(speech))).astype(np.float32)


def spell(model: Recognizer, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Letters (B, L) and their numbers (B,), as the loss takes them."""
    letters = [torch.tensor(model.encode(text)) for text in texts]
    padded = torch.nn.utils.rnn.pad_sequence(letters, batch_first=True)
    return padded, torch.tensor([len(row) for row in letters])


def tiny(**settings: float) -> Recognizer:
    torch.manual_seed(0)
    config = RecognizerConfig(
        alphabet=(" ", "a", "b", "c", "d"), num_mels=40, front_width=16, width=32, num_blocks=2, **settings
    )
    return Recognizer(config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where's the  “red” Tea-cup?", "where's the red tea cup"),
        ("It’s 'fine'.", "it's fine"),
        ("मेरी माँ कहाँ हैं?", "मेरी माँ कहाँ हैं"),
        ("वह आया।", "वह आया"),
        ("\u0958लम", "\u0915\u093cलम"),  # a letter with a dot below has one spelling, its NFC
        ("क्\u200dष", "क्ष"),
        ("오늘은 뭐 해요?", "오늘은 뭐 해요"),
        ("Déjà VU", "déjà vu"),
        ("İ", "i̇"),
        (" !? ", ""),
    ],
)
def test_normalize_text(text: str, expected: str) -> None:
    assert normalize_text(text) == expected
    assert normalize_text(normalize_text(text)) == expected


def test_hangul_is_spelled_in_jamo_and_comes_back_in_syllables() -> None:
    texts = ["한국 음식", "책을 읽어요"]
    alphabet = alphabet_of(texts)
    assert " " in alphabet
    assert "ᄒ" in alphabet
    assert "한" not in alphabet
    model = Recognizer(RecognizerConfig(alphabet=alphabet, width=8, num_blocks=1))
    for text in texts:
        symbols = model.encode(text)
        assert len(symbols) == len(to_letters(text)) > len(text)
        assert model.decode([s for symbol in symbols for s in (0, symbol, symbol)]) == text


def test_decode_joins_runs_but_not_across_blanks() -> None:
    assert tiny().decode([0, 2, 2, 0, 2, 3, 3, 0, 0]) == "aab"
    assert tiny().decode([0, 0]) == ""


def test_encode_names_the_unknown_letters() -> None:
    with pytest.raises(ValueError, match=r"\['x', 'z'\]"):
        tiny().encode("abxz")


@pytest.mark.parametrize("settings", [{"alphabet": ("a", "a")}, {"alphabet": ("ab",)}, {"kernel": 4}, {"speed": 1.0}])
def test_config_refuses(settings: dict) -> None:
    with pytest.raises(ValueError):
        RecognizerConfig(**({"alphabet": ("a",)} | settings))


def test_a_padded_batch_equals_each_alone() -> None:
    model = tiny().eval()
    waveforms = [tones(text, seed) for seed, text in enumerate(["abcd", "b", "dc ba", "aabbccdd"])]
    batch, lengths = pad([model.features(waveform) for waveform in waveforms])
    together, sizes = model(batch, lengths)
    for i, waveform in enumerate(waveforms):
        features, length = pad([model.features(waveform)])
        alone, size = model(features, length)
        assert size[0] == sizes[i] == alone.shape[1]
        torch.testing.assert_close(together[i, : sizes[i]], alone[0], rtol=1e-5, atol=1e-5)


def test_what_is_in_the_padding_does_not_matter() -> None:
    model = tiny().eval()
    features, lengths = pad([model.features(tones("abcd")), model.features(tones("b"))])
    filled = features.clone()
    filled[1, lengths[1] :] = 50.0
    expected, actual = model(features, lengths), model(filled, lengths)
    size = expected[1][1]
    torch.testing.assert_close(actual[0][1, :size], expected[0][1, :size])


def test_loudness_does_not_matter() -> None:
    model = tiny().eval()
    features, lengths = pad([model.features(tones("abcd"))])
    louder = features + 2.0  # log power
    torch.testing.assert_close(model(louder, lengths)[0], model(features, lengths)[0], rtol=1e-4, atol=1e-4)


def test_it_learns_tones_and_hears_new_orders_of_them() -> None:
    model = tiny(dropout=0.0, speed=0.0, noise=0.0, num_masks=0).train()
    texts = ["abcd", "dcba", "ab cd", "bdac", "ca bd", "aabb", "cc dd", "adbc"]
    features, lengths = pad([model.features(tones(text, seed)) for seed, text in enumerate(texts)])
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(80):
        loss = model.loss(features, lengths, *spell(model, texts))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 < losses[0]
    model.eval()
    assert model.transcribe([tones(text, 50) for text in texts], batch_size=3) == texts
    assert model.transcribe([tones("dabc", 60)]) == ["dabc"]


def test_augmentation_is_for_training_only_and_keeps_lengths_true() -> None:
    model = tiny(speed=0.2, noise=0.3, num_masks=2)
    features, lengths = pad([model.features(tones(text)) for text in ("abcd", "bd")])
    model.eval()
    assert torch.equal(model(features, lengths)[0], model(features, lengths)[0])
    model.train()
    seen = set()
    for _ in range(5):
        log_probs, sizes = model(features, lengths)
        assert sizes.max() <= log_probs.shape[1]
        assert sizes.min() >= 1
        assert torch.isfinite(model.loss(features, lengths, *spell(model, ["abcd", "bd"])))
        seen.add(log_probs.shape[1])
    assert len(seen) > 1


def test_transcribe_hears_nothing_in_nothing() -> None:
    texts = tiny().eval().transcribe([np.zeros(0, np.float32), np.zeros(399, np.float32), tones("a")])
    assert texts[:2] == ["", ""]
    assert len(texts) == 3
    assert tiny().eval().transcribe([]) == []


def test_silence_gives_finite_scores() -> None:
    model = tiny().eval()
    features, lengths = pad([model.features(np.zeros(8000, np.float32))])
    assert torch.isfinite(model(features, lengths)[0]).all()
