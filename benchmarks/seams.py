"""What cutting a long recording changes: units of pieces beside those of the recording as a whole.

python -m benchmarks.seams runs/demo/codebook runs/demo/manifest [--minutes 5]

The peer is fairseq's way: cuts 100 s apart, without overlap, GroupNorm over each piece, a frame lost at every cut.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks import results
from benchmarks.results import Row, row
from s2st import audio
from s2st.config import UserError
from s2st.models.speech_encoder import SpeechEncoder
from s2st.schemas import MANIFEST
from s2st.speech_to_units import SpeechToUnits
from stages import datasets
from stages.run import stop_on_mistakes

PEER_SAMPLES = 1_600_000  # max_chunk of fairseq's dump_hubert_feature.py
LOST = -1
Level = tuple[Tensor, Tensor] | None  # mean and standard deviation of samples, where waveforms are scaled


def one_recording(manifest: str, minutes: float) -> np.ndarray:
    """Join the recordings of a manifest to one waveform (N,)."""
    wanted, parts = int(minutes * 60 * audio.SAMPLE_RATE), []
    for batch in datasets.read_batches(manifest, MANIFEST, ["audio"]):
        parts += [audio.decode(value["bytes"]) for value in batch["audio"].to_pylist()]
        if sum(map(len, parts)) >= wanted:
            break
    return np.concatenate(parts)[:wanted]


@torch.inference_mode()
def units_of(speech_to_units: SpeechToUnits, waveform: Tensor, level: Level = None) -> np.ndarray:
    """Encode a waveform (N,) in one go, however long, scaled by its own level or a given one, and give units (T,)."""
    extractor = speech_to_units.extractor
    encoder = extractor.encoder
    assert isinstance(encoder, SpeechEncoder)
    lengths = torch.tensor([len(waveform)])
    statistics = encoder.statistics(waveform[None], lengths)
    statistics = statistics._replace(level=level or statistics.level)
    features, frames = encoder.extract(waveform[None], lengths, extractor.config.layer, statistics)
    return speech_to_units.quantize(features[0, : int(frames)].numpy())


def measure(codebook: str, manifest: str, minutes: float) -> Iterator[Row]:
    """Compare the units of both ways to cut with those of the whole."""
    speech_to_units = SpeechToUnits.load(codebook)
    encoder = speech_to_units.extractor.encoder
    if not isinstance(encoder, SpeechEncoder):
        raise UserError(f"the features of {codebook} are cut nowhere; name the codebook of a HuBERT")
    waveform = torch.from_numpy(one_recording(manifest, minutes))
    whole = units_of(speech_to_units, waveform)
    ours = speech_to_units([waveform.numpy()])[0]
    level = encoder.statistics(waveform[None], torch.tensor([len(waveform)])).level
    pieces = [units_of(speech_to_units, piece, level) for piece in waveform.split(PEER_SAMPLES)]
    peer = np.concatenate([part for piece in pieces for part in (piece, [LOST])])[: len(whole)]
    yield row("units.seams_changed", float((ours != whole).mean()), float((peer != whole).mean()), "share of frames")


def main() -> None:
    """Run the benchmark, keep its row and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codebook", help="folder of a codebook of HuBERT or wav2vec 2.0")
    parser.add_argument("manifest", help="folder of a manifest, whose recordings are joined to one")
    parser.add_argument("--minutes", type=float, default=5)
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = measure(arguments.codebook, arguments.manifest, arguments.minutes)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    stop_on_mistakes(main)
