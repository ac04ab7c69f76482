import numpy as np

from benchmarks import one_process
from pipelines.fit_codebook import FitCodebookConfig
from s2st import audio
from s2st.schemas import UNITS
from s2st.speech_to_units import FeaturesConfig
from stages import datasets


def test_our_side_of_the_benchmark_gives_a_unit_for_each_frame(tmp_path, tone):
    wavs = tmp_path / "wavs" / "en" / "train"
    wavs.mkdir(parents=True)
    for name in ("1", "2"):
        (wavs / f"{name}.wav").write_bytes(audio.encode(tone, "WAV"))
    manifest, codebook, units = (str(tmp_path / name) for name in ("manifest", "codebook", "units"))
    one_process.ingest(str(tmp_path / "wavs"), manifest)
    config = FitCodebookConfig(FeaturesConfig("stacked_mfcc"), num_units=4)
    frames = one_process.sample_frames(manifest, config, None)
    assert frames.shape == (2 * audio.num_frames(len(tone)), 65)
    one_process.save_codebook(frames, config, None, codebook)
    one_process.dump(manifest, codebook, units)
    rows = datasets.read_table(units, UNITS).to_pylist()
    assert [len(row["units"]) for row in rows] == [audio.num_frames(len(tone))] * 2
    assert len(np.unique(rows[0]["units"])) > 1
