import shutil

import pytest

from pipelines.approach_origin import num_parameters, origin_of, uses_text
from s2st import checkpoint, storage
from s2st.config import UserError, build
from s2st.models.s2ut import S2ut, S2utConfig
from stages.stage import MADE_BY, TRAINING_COST


def record(stage, inputs=None, settings=None, seconds=1.0):
    made = {"stage": stage, "inputs": inputs or {}, "settings": settings or {}, "date": "2001"}
    return {**made, "seconds": 1000.0, "cpu_seconds": seconds}


def keep(run, **records):
    """Write the records of steps, and of trainings what they cost, which is not the CPU time of their steps."""
    for name, found in records.items():
        storage.write_json(f"{run}/{name}/{MADE_BY}", found)
        if found["stage"].startswith("trainers."):
            cost = {"core_seconds": found["cpu_seconds"], "worker_seconds": 8 * found["cpu_seconds"]}
            storage.write_json(f"{run}/{name}/{TRAINING_COST}", cost)
            storage.write_json(f"{run}/{name}/{MADE_BY}", {**found, "cpu_seconds": 0.5})


@pytest.fixture
def a_run(tmp_path, tiny_model):
    """A run with a model of units, its parts, and the records of how they were made."""
    shutil.copytree(tiny_model, tmp_path / "model")
    for part, name in (("codebook", "codebook"), ("translator", "translator"), ("vocoders/en", "vocoder")):
        shutil.copytree(f"{tiny_model}/{part}", tmp_path / name)
    inputs = {"codebook": ["codebook"], "translator": ["translator"], "vocoders": ["vocoder"]}
    keep(
        tmp_path,
        units=record("pipelines.dump_units", {"codebook": ["codebook"]}, seconds=99.0),
        denoised=record("trainers.unit_denoising", {"units": ["units"]}, seconds=20.0),
        codebook=record("pipelines.fit_codebook", seconds=3.0),
        translator=record("trainers.translation", {"pairs": ["units"], "translator": ["denoised"]}, seconds=40.0),
        vocoder=record("trainers.vocoder", {"units": ["units"]}, seconds=50.0),
        model=record("pipelines.assemble", inputs),
    )
    return tmp_path


def test_a_model_of_units_stands_on_all_its_trainings_and_on_no_text(a_run):
    origin = origin_of(str(a_run), "model")
    assert not origin.needs_text
    assert origin.trainings == {"codebook": 3.0, "denoised": 20.0, "translator": 40.0, "vocoder": 50.0}
    assert set(origin.parameters) == {"codebook", "translator", "vocoder"}
    model, _ = checkpoint.load(f"{a_run}/translator")
    assert origin.parameters["translator"] == sum(value.numel() for value in model.parameters())
    assert origin.parameters["codebook"] == 20 * 65


def test_a_training_whose_cost_nobody_counted_is_told(a_run):
    (a_run / "translator" / TRAINING_COST).unlink()
    with pytest.raises(UserError, match="translator was trained by an older version, which did not count its cost"):
        origin_of(str(a_run), "model")


def test_gpus_are_counted_apart(a_run):
    assert origin_of(str(a_run), "model").gpu_seconds == 0
    on_gpus = record("trainers.vocoder", {"units": ["units"]}, {"loop": {"use_gpu": True}}, seconds=50.0)
    keep(a_run, vocoder=on_gpus)
    origin = origin_of(str(a_run), "model")
    assert (origin.trainings["vocoder"], origin.gpu_seconds) == (50, 400)


def test_what_was_trained_elsewhere_is_told(a_run):
    assert not origin_of(str(a_run), "model").elsewhere
    keep(a_run, vocoder=record("pipelines.import_vocoder", {"codebook": ["codebook"]}))
    origin = origin_of(str(a_run), "model")
    assert origin.elsewhere
    assert origin.needs_text is False
    assert origin.trainings == {"codebook": 3.0, "denoised": 20.0, "translator": 40.0}


def test_of_a_hosted_service_nothing_is_known(a_run):
    known = storage.read_json(f"{a_run}/model/model.json")
    storage.write_json(f"{a_run}/model/model.json", {**known, "kind": "hosted", "vocoders": {}})
    keep(a_run, model=record("pipelines.assemble_hosted"))
    origin = origin_of(str(a_run), "model")
    assert (origin.needs_text, origin.parameters, origin.trainings, origin.elsewhere) == (None, {}, {}, True)


def test_what_only_compares_is_not_on_the_way(a_run, tiny_direct_models):
    for part in ("model", "translator"):
        shutil.rmtree(a_run / part)
    shutil.copytree(tiny_direct_models["mel_lstm"], a_run / "model")
    shutil.copytree(f"{tiny_direct_models['mel_lstm']}/translator", a_run / "translator")
    keep(
        a_run,
        translator=record("trainers.speech_to_spectrogram", {"speech_pairs": ["units"]}, seconds=7.0),
        model=record("pipelines.assemble", {"codebook": ["codebook"], "translator": ["translator"]}),
    )
    origin = origin_of(str(a_run), "model")
    assert origin.trainings == {"translator": 7.0}
    assert set(origin.parameters) == {"translator"}


def test_a_cascade_needs_text_and_its_parts_from_elsewhere_are_not_counted(a_run, save_ctc):
    save_ctc(f"{a_run}/letters", ("a", "b"), 0, {"labels": "letters", "languages": ["hi"]})
    known = storage.read_json(f"{a_run}/model/model.json")
    storage.write_json(f"{a_run}/model/model.json", {**known, "kind": "cascade", "vocoders": {}})
    for settings, parts in (({}, {"letters"}), ({"whisper": {"model": "a"}}, set())):
        inputs = {"codebook": ["codebook"], "recognizers": ["letters"]}
        keep(
            a_run,
            letters=record("trainers.ctc", seconds=5.0),
            model=record("pipelines.assemble_cascade", inputs, settings),
        )
        origin = origin_of(str(a_run), "model")
        assert origin.needs_text
        assert origin.trainings == {"letters": 5.0}
        assert set(origin.parameters) == parts


@pytest.mark.parametrize(
    ("stage", "inputs", "settings", "uses"),
    [
        ("trainers.ctc", {}, {}, True),
        ("trainers.ctc", {"labels": ["units"]}, {}, False),
        ("pipelines.import_translator", {}, {"kind": "unit_transformer"}, False),
        ("pipelines.import_translator", {}, {"kind": "s2ut"}, None),
        ("pipelines.import_encoder", {}, {"languages": ["en"]}, True),
        ("pipelines.import_encoder", {}, {"languages": []}, False),
        ("trainers.translation", {}, {}, False),
        ("trainers.recognizer", {}, {}, True),
    ],
)
def test_what_uses_text(stage, inputs, settings, uses, tmp_path):
    assert uses_text(str(tmp_path), record(stage, inputs, settings)) is uses


@pytest.mark.parametrize(("targets", "uses"), [([], False), (["target_units"], False), (["source_letters"], True)])
def test_tasks_of_letters_are_text_and_tasks_of_units_are_not(targets, uses, tmp_path):
    tasks = {f"task_{target}": {"target": target} for target in targets}
    storage.write_json(f"{tmp_path}/config.json", {"model": "s2ut", "config": {"tasks": tasks}, "info": {}})
    assert uses_text(str(tmp_path), record("trainers.speech_to_units")) is uses


def test_heads_of_tasks_are_not_counted(tmp_path):
    sizes = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "ffn_dim": 16}
    settings = {"num_units": 20, "source": {**sizes, "conv_dim": 16}, "decoder": sizes}
    counts = []
    for name, tasks in (("alone", {}), ("told", {"told": {"decoder_type": "ctc", "symbols": ["a", "b"]}})):
        checkpoint.save(f"{tmp_path}/{name}", S2ut(build(S2utConfig, {**settings, "tasks": tasks}, name)))
        counts.append(num_parameters(f"{tmp_path}/{name}"))
    assert counts[0] == counts[1] > 0
