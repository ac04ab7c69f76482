import numpy as np
import pytest
import torch

from s2st import storage
from s2st.config import UserError
from s2st.models.hubert import Hubert, HubertConfig
from stages.stage import BEGUN, MADE_BY, Step, fingerprint, finished
from trainers.hubert import HubertObjective, crop


@pytest.mark.parametrize("label_rate", [50, 100])
def test_crops_keep_labels_with_their_samples(label_rate):
    hop = 16_000 // label_rate
    waveform = np.repeat(np.arange(200), hop).astype(np.float32)
    for seed in range(10):
        cut, labels = crop(waveform, np.arange(200), label_rate, 50 * hop, np.random.default_rng(seed))
        assert len(cut) == 50 * hop
        assert cut[::hop].tolist() == labels.tolist()


def test_short_utterances_stay_whole():
    waveform, labels = crop(np.ones(100), np.arange(3), 50, 1000, np.random.default_rng(0))
    assert (len(waveform), len(labels)) == (100, 3)


TINY = HubertConfig(
    conv_layers=((8, 10, 5), *((8, 3, 2),) * 4, *((8, 2, 2),) * 2),
    width=16,
    num_layers=1,
    num_heads=2,
    ffn_dim=16,
    positional_kernel=4,
    positional_groups=2,
    num_classes=20,
    layer_drop=0.0,
    dropout=0.0,
)


def metrics_of(objective):
    torch.manual_seed(0)
    batch = {
        "waveform": (torch.randn(4, 16_000) * 3000).short(),
        "lengths": torch.tensor([16_000, 16_000, 12_000, 16_000]),
        "labels": torch.randint(20, (4, 50)),
    }
    return {name: float(value.detach()) for name, value in objective(batch)[1].items()}


def test_a_model_that_tells_all_frames_the_same_is_a_concern():
    torch.manual_seed(0)
    objective = HubertObjective(Hubert(TINY))
    metrics = metrics_of(objective)
    assert metrics["frames"] == 3 * 49 + 37
    assert metrics["label_perplexity"] == pytest.approx(17, abs=3)
    assert objective.concern({**metrics, "code_perplexity": 5.0}) is None

    with torch.no_grad():  # one label wins everywhere
        objective.hubert.final_projection.weight.zero_()
    metrics = metrics_of(objective)
    assert metrics["code_perplexity"] == pytest.approx(1)
    assert "collapse" in objective.concern({**metrics, "label_perplexity": 100.0})
    assert objective.concern({**metrics, "label_perplexity": 4.0}) is None

    with torch.no_grad():  # all frames look alike
        objective.hubert.layers[0].output_norm.weight.zero_()
    assert "features deviate by 0.000" in objective.concern(metrics_of(objective))


def test_a_training_that_other_settings_began_is_refused_by_name(tmp_path):
    for section in ("manifest", "labels", "codebook"):
        storage.write_json(f"{tmp_path}/{section}/{MADE_BY}", {"fingerprint": section, "date": "today"})
    inputs = {name: [name] for name in ("manifest", "labels", "codebook")}

    def step(rate):
        return Step("hubert", "trainers.hubert", str(tmp_path), {"loop": {"learning_rate": rate}}, inputs)

    storage.write_json(f"{tmp_path}/hubert/{BEGUN}", {"fingerprint": fingerprint(step(0.1))})
    assert finished(step(0.1)) is None
    with pytest.raises(UserError, match=f"{tmp_path}/hubert was begun with other settings"):
        finished(step(0.2))
