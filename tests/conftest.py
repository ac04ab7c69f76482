"""Shared by the tests: one local Ray for the whole session, and a tiny model with random weights."""

import os
import shutil
import socket
import tempfile

import numpy as np
import pytest
import torch

os.environ.pop("RAY_ADDRESS", None)  # never the cluster of whoever runs the tests
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"] = "1"  # as stages.cluster has it on one machine
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def local_ray():
    """A Ray cluster of this test session alone, with a folder of its own."""
    import ray

    folder = tempfile.mkdtemp(prefix="s2st", dir="/tmp")  # short: sockets lie in it, and their paths are limited
    ray.init(
        "local",
        num_cpus=4,
        object_store_memory=150 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _temp_dir=folder,
    )
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def free_port():
    """A function that gives a port on which nothing listens."""

    def find():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return find


@pytest.fixture
def tone():
    """A second of a tone that glides, float32, 16 kHz."""
    time = np.arange(16_000) / 16_000
    return (0.5 * np.sin(2 * np.pi * (200 + 200 * time) * time)).astype(np.float32)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A model folder as pipelines.assemble makes it, hi-en and en-hi, with random weights."""
    from s2st import checkpoint, storage
    from s2st.feature_extractor import FeatureExtractor, FeaturesConfig
    from s2st.models.codebook import Codebook, CodebookConfig
    from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
    from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
    from s2st.speech_to_units import SpeechToUnits

    torch.manual_seed(0)
    folder = str(tmp_path_factory.mktemp("model"))
    codebook = Codebook(CodebookConfig(num_units=20, feature_dim=65))
    codebook.centroids.normal_().mul_(20)
    speech_to_units = SpeechToUnits(FeatureExtractor(FeaturesConfig("stacked_mfcc")), codebook)
    units = speech_to_units.fingerprint
    speech_to_units.save(f"{folder}/codebook", {})
    translator = UnitTransformer(
        UnitTransformerConfig(num_layers=1, model_dim=16, num_heads=2, ffn_dim=16, num_units=20, languages=("en", "hi"))
    )
    directions = ["en-hi", "hi-en"]
    checkpoint.save(f"{folder}/translator", translator, {"units": units, "directions": directions})
    for lang in ("en", "hi"):
        vocoder = UnitVocos(UnitVocosConfig(num_units=20, channels=16, num_blocks=1))
        info = {"units": units, "speakers": ["a"], "languages": [lang], "default_speakers": {lang: "a"}}
        checkpoint.save(f"{folder}/vocoders/{lang}", vocoder, info)
    vocoders = {"en": "en", "hi": "hi"}
    storage.write_json(f"{folder}/model.json", {"units": units, "directions": directions, "vocoders": vocoders})
    return folder


@pytest.fixture(scope="session")
def tiny_direct_models(tiny_model, tmp_path_factory):
    """Model folders of translators that hear speech itself, en-hi, with random weights: {kind: folder}."""
    from s2st import checkpoint, storage
    from s2st.config import build
    from s2st.models.mel_lstm import MelLstm, MelLstmConfig
    from s2st.models.s2ut import S2ut, S2utConfig

    torch.manual_seed(0)
    sizes = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "ffn_dim": 16}
    s2ut = {"num_units": 20, "source": {**sizes, "conv_dim": 16, "max_frames": 200}, "decoder": sizes}
    lstm = {"band_dim": 4, "encoder_dim": 16, "encoder_layers": 2, "reductions": 1, "decoder_dim": 16}
    models = {"s2ut": S2ut(build(S2utConfig, s2ut, "s2ut")), "mel_lstm": MelLstm(build(MelLstmConfig, lstm, "lstm"))}
    known = storage.read_json(f"{tiny_model}/model.json")
    folders = {}
    for kind, model in models.items():
        folders[kind] = folder = str(tmp_path_factory.mktemp("models") / kind)
        shutil.copytree(tiny_model, folder)
        shutil.rmtree(f"{folder}/translator")
        vocoders = known["vocoders"] if kind == "s2ut" else {}
        info = {"directions": ["en-hi"], **({"units": known["units"]} if kind == "s2ut" else {})}
        checkpoint.save(f"{folder}/translator", model, info)
        storage.write_json(f"{folder}/model.json", {**known, "directions": ["en-hi"], "vocoders": vocoders})
    return folders
