import json
import re

import pytest
import torch

from s2st.config import UserError
from s2st.fairseq.vocoder_writer import FILE, check_vocoder, write_vocoder
from s2st.fairseq.vocoders import CONFIG, read_settings, read_vocoder
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig

TINY = UnitHifiganConfig(num_units=20, embedding_dim=16, initial_channels=32, num_speakers=2, speaker_dim=16)
HUBERT_100 = {
    **{"input_training_file": "train.txt", "input_validation_file": "val.txt", "resblock": "1", "num_gpus": 0},
    **{"batch_size": 16, "learning_rate": 0.0002, "adam_b1": 0.8, "adam_b2": 0.99, "lr_decay": 0.999, "seed": 1234},
    **{"upsample_rates": [5, 4, 4, 2, 2], "upsample_kernel_sizes": [11, 8, 8, 4, 4], "upsample_initial_channel": 512},
    **{"resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]]},
    **{"num_embeddings": 100, "embedding_dim": 128, "model_in_dim": 128, "segment_size": 8960, "code_hop_size": 320},
    **{"f0": False, "num_mels": 80, "num_freq": 1025, "n_fft": 1024, "hop_size": 256, "win_size": 1024},
    "dur_prediction_weight": 1.0,
    "dur_predictor_params": {
        "encoder_embed_dim": 128,
        "var_pred_hidden_dim": 128,
        "var_pred_kernel_size": 3,
        "var_pred_dropout": 0.5,
    },
    **{"sampling_rate": 16000, "fmin": 0, "fmax": 8000, "fmax_for_loss": None, "num_workers": 4},
    "dist_config": {"dist_backend": "nccl", "dist_url": "env://"},
}  # hubert100_dw1.0.json of speech-resynthesis


def settings_of(folder, **changes):
    (folder / CONFIG).write_text(json.dumps({**HUBERT_100, **changes}))
    return read_settings(f"{folder}/{CONFIG}")


@pytest.fixture
def changed(tmp_path):
    """A function that writes a tiny vocoder, changes what its files hold, and reads it."""

    def read_changed(change=lambda weights, settings: None):
        torch.manual_seed(0)
        write_vocoder(str(tmp_path), UnitHifigan(TINY), ["ana", "ravi"])
        content, settings = torch.load(tmp_path / FILE), json.loads((tmp_path / CONFIG).read_text())
        change(content["generator"], settings)
        torch.save(content, tmp_path / FILE)
        (tmp_path / CONFIG).write_text(json.dumps(settings))
        return read_vocoder(f"{tmp_path}/{FILE}")

    return read_changed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"num_embeddings": 1000, "resblock": 1}, {"num_units": 1000}),
        ({"multispkr": "_", "model_in_dim": 256}, {"num_speakers": 200}),
        ({"multispkr": "_", "num_speakers": 7, "model_in_dim": 256}, {"num_speakers": 7}),
        ({"dur_predictor_params": None, "dur_prediction_weight": 0}, {"predict_durations": False}),
    ],
)
def test_the_published_settings_are_read(tmp_path, changes, expected):
    assert settings_of(tmp_path, **changes) == UnitHifiganConfig(**expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f0": True}, "has f0: it hears pitch beside units"),
        ({"embedder_params": {"dim": 256}}, "has embedder_params: its speakers are vectors"),
        ({"multistyle": "from_input_file"}, "has the setting 'multistyle'"),
        ({"dur_predictor_params": {"layers": 3}}, "has the setting 'layers'"),
        ({"resblock": "2"}, "has resblock=2, but a vocoder here has 1"),
        ({"sampling_rate": 22050}, "has sampling_rate=22050"),
        ({"code_hop_size": 640}, "has code_hop_size=640"),
        ({"upsample_rates": [5, 4, 4, 2, 4]}, "their product must be 320"),
        ({"model_in_dim": 256}, "has model_in_dim=256, but a vocoder of its embeddings here has 128"),
        ({"dur_predictor_params": {"var_pred_kernel_size": 5}}, "has var_pred_kernel_size=5, but its duration"),
        ({"embedding_dim": "wide"}, "embedding_dim must be int"),
    ],
)
def test_settings_that_no_model_here_has_are_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=f"{re.escape(str(tmp_path))}.*{message}"):
        settings_of(tmp_path, **changes)


def test_config_files_that_are_none_are_refused(tmp_path):
    for text, message in (("{", "is not JSON"), ("[]", "holds no settings"), ("{}", "no setting 'num_embeddings'")):
        (tmp_path / CONFIG).write_text(text)
        with pytest.raises(UserError, match=f"{CONFIG} .*{message}"):
            read_settings(f"{tmp_path}/{CONFIG}")
    with pytest.raises(UserError, match="there is no file .*elsewhere.json"):
        read_vocoder(f"{tmp_path}/{FILE}", f"{tmp_path}/elsewhere.json")


def test_what_is_written_is_read_with_the_names_of_its_speakers(changed):
    read, speakers = changed()
    assert read.config == TINY
    assert speakers == ["ana", "ravi"]
    torch.manual_seed(0)
    for name, value in UnitHifigan(TINY).state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name


def test_without_names_speakers_are_numbers_and_half_precision_is_widened(changed):
    def change(weights, settings):
        del settings["speakers"]
        weights["dict.weight"] = weights["dict.weight"].half()

    read, speakers = changed(change)
    assert speakers == ["0", "1"]
    assert read.unit_embedding.weight.dtype == torch.float32


def test_without_weights_of_a_predictor_it_speaks_full_units(changed):
    def change(weights, settings):
        for name in [name for name in weights if name.startswith("dur_predictor")]:
            del weights[name]

    assert not changed(change)[0].config.predict_durations


def drop(name):
    return lambda weights, settings: weights.pop(name)


def put(name, value):
    return lambda weights, settings: weights.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights, settings: settings.update(speakers=["ana"]), "names other than 2 different speakers"),
        (lambda weights, settings: settings.update(speakers=["a", "a"]), "names other than 2 different speakers"),
        (lambda weights, settings: settings.update(num_embeddings=30), "does not fit its settings"),
        (drop("ups.1.weight_g"), "upsamples.1.parametrizations.weight.original0 are on one side only"),
        (put("f0_quant_embed.weight", torch.zeros(2)), "f0_quant_embed.weight are on one side only"),
        (lambda weights, settings: settings.pop("dur_predictor_params"), "duration_predictor.* are on one side only"),
    ],
)
def test_other_models_are_refused(tmp_path, changed, change, message):
    with pytest.raises(UserError, match=f"{re.escape(str(tmp_path))}.*{message}"):
        changed(change)


def test_a_file_without_a_generator_is_refused(tmp_path):
    settings_of(tmp_path)
    torch.save({"mpd": {}, "msd": {}}, tmp_path / "do_00500000")
    with pytest.raises(UserError, match="no 'generator'; give a file such as g_00500000"):
        read_vocoder(f"{tmp_path}/do_00500000")


@pytest.mark.parametrize(
    "changes",
    [
        {"upsample_rates": (5, 4, 4), "upsample_kernel_sizes": (11, 8, 8), "istft_hop": 4},
        {"num_languages": 2},
        {"num_speakers": 2, "speaker_dim": 64},
        {"duration_kernel_size": 5},
        {"cumulative_rounding": True},
        {"resblock_dilations": ((1, 3), (1, 3), (1, 3))},
    ],
    ids=lambda changes: [*changes][-1],
)
def test_what_fairseq_has_no_form_of_is_refused(changes):
    name = [*changes][-1]
    with pytest.raises(UserError, match=f"^here has {name}=.*no form"):
        check_vocoder(UnitHifiganConfig(**changes), "here")
