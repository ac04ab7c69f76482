import pytest
import torch

from s2st.models.decoder_cache import STEPS_OF_ROOM
from s2st.models.transformer import Decoder, TransformerConfig, padding_mask, store_by_columns

SENTENCES, BEAMS, STEPS, WIDTH = 3, 4, 30, 16


@pytest.fixture
def decoder() -> Decoder:
    torch.manual_seed(0)
    return Decoder(TransformerConfig(num_layers=2, model_dim=WIDTH, num_heads=2, ffn_dim=32)).eval()


@torch.inference_mode()
def test_beams_that_share_nodes_equal_each_beam_alone(decoder):
    """Beams chosen at random at each step, and sentences that leave."""
    memory, lengths = torch.randn(SENTENCES, 5, WIDTH), torch.tensor([5, 2, 4])
    mask = padding_mask(lengths, 5)
    cache = decoder.start(memory, mask)
    sentences = torch.arange(SENTENCES)
    paths = torch.randn(SENTENCES, 1, 1, WIDTH)  # (N, K, T, D) what each beam has read
    outputs = decoder(paths[:, 0], cache)
    for step in range(STEPS):
        origins = torch.randint(paths.size(1), (len(sentences), BEAMS))
        rows = torch.arange(len(sentences))[:, None] * paths.size(1) + origins
        going = torch.tensor([0, 2]) if step == STEPS // 2 else torch.arange(len(sentences))
        cache.select(going if step == STEPS // 2 else None, rows[going])
        sentences, paths = sentences[going], paths.flatten(0, 1)[rows[going]]
        paths = torch.cat([paths, torch.randn(len(sentences), BEAMS, 1, WIDTH)], 2)
        outputs = decoder(paths[:, :, -1].reshape(-1, 1, WIDTH), cache)
        assert cache.length == step + 2
    for beam in range(BEAMS):
        alone = decoder(paths[:, beam], decoder.start(memory[sentences], mask[sentences]))
        torch.testing.assert_close(outputs.view(-1, BEAMS, WIDTH)[:, beam], alone[:, -1], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_nodes_that_no_beam_sees_are_dropped(decoder):
    """All beams come of the first one at every step: what they share is kept once, and the rest goes."""
    cache = decoder.start(torch.randn(1, 5, WIDTH), None)
    decoder(torch.randn(1, 1, WIDTH), cache)
    for _ in range(100):
        cache.select(None, torch.zeros(1, BEAMS, dtype=torch.long))
        decoder(torch.randn(BEAMS, 1, WIDTH), cache)
    assert cache.length == 101
    assert cache.num_nodes <= 101 + BEAMS * STEPS_OF_ROOM


@torch.inference_mode()
def test_weights_by_columns_give_the_same(decoder):
    x, memory = torch.randn(2, 6, WIDTH), torch.randn(2, 5, WIDTH)
    by_rows = decoder(x, decoder.start(memory, None))
    store_by_columns(decoder)
    assert decoder.layers[0].fc1.weight.stride() == (1, 32)
    torch.testing.assert_close(decoder(x, decoder.start(memory, None)), by_rows)
