"""How soon a streamed translation is made, in a process of its own on one thread: the models without Ray.

python -m benchmarks.streaming_steps make FOLDER SECONDS      models of the demo's sizes, random weights, of which the
                                                              translator talks; source.wav, of so many seconds
python -m benchmarks.streaming_steps alone FOLDER BEAM RUNS   its translation: CPU-seconds to its first chunk and last
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

NUM_MERGES = 300  # of the demo
SOURCE = "source.wav"


def make(folder: str, seconds: int) -> None:
    """Write a model folder and the recording."""
    import numpy as np

    from benchmarks import serving_steps
    from s2st import audio, checkpoint

    serving_steps.make(folder)
    model, info = checkpoint.load(f"{folder}/translator")
    checkpoint.save(f"{folder}/translator", talkative(model), info)
    recordings = [waveform for waveform, _ in serving_steps.clips(folder)]
    waveform = np.resize(np.concatenate(recordings), seconds * audio.SAMPLE_RATE)
    Path(folder, SOURCE).write_bytes(audio.encode(waveform, "WAV"))


def alone(folder: str, beam: int, runs: int) -> dict[str, Any]:
    """Translate the recording: times to the first chunk and to the last, of whole answers, and their length."""
    import numpy as np
    import torch

    from s2st import audio
    from s2st.beam_search import SearchOptions
    from s2st.growing_speech import GrowingSpeech
    from s2st.growing_translation import translate_growing
    from s2st.translator import Translator

    torch.set_num_threads(1)
    models, options = Translator.load(folder), SearchOptions(beam=beam)
    waveform = audio.decode(Path(folder, SOURCE).read_bytes())

    def grow() -> Iterator[np.ndarray]:
        (units,) = models.units([waveform])
        speech = GrowingSpeech(models.voices["hi"], "hi")
        for part in translate_growing(models.translator, units, "en", "hi", options):  # type: ignore[arg-type]
            yield from speech.add(part)
        yield from speech.end()

    times: dict[str, list[float]] = {"first": [], "last": [], "whole": []}
    num_samples = 0
    for _ in range(runs):
        start = process_time()
        chunks = grow()
        num_samples = len(next(chunks))
        times["first"].append(process_time() - start)
        num_samples += sum(map(len, chunks))
        times["last"].append(process_time() - start)
        start = process_time()
        models.translate(waveform, "hi", options=options)
        times["whole"].append(process_time() - start)
    return {**times, "seconds": num_samples / audio.SAMPLE_RATE}


def talkative(model: Any) -> Any:
    """Give a translator of the same sizes whose tokens stand for two units each: with random weights, tokens repeat."""
    import dataclasses

    import numpy as np
    import torch

    from s2st.models.unit_transformer import UnitTransformer
    from s2st.units import NUM_SPECIALS

    torch.manual_seed(0)
    pairs = np.random.default_rng(0).permutation(model.config.num_units**2)
    merges = [(int(pair // model.config.num_units), int(pair % model.config.num_units)) for pair in pairs]
    merges = [(left, right) for left, right in merges if left != right][:NUM_MERGES]
    model = UnitTransformer(dataclasses.replace(model.config, merges=tuple(merges))).eval()
    # It seldom says that it ends, or a unit alone.
    model.embed_tokens.weight.data[model.vocabulary.language_symbol("hi")] *= 0.1
    model.embed_tokens.weight.data[NUM_SPECIALS : NUM_SPECIALS + model.config.num_units] *= 0.1
    return model


def main() -> None:
    """Do one part, and print what it found as JSON."""
    part, folder, *sizes = sys.argv[1:]
    parts: dict[str, Callable[..., Any]] = {"make": make, "alone": alone}
    print(json.dumps(parts[part](folder, *map(int, sizes))))


if __name__ == "__main__":
    main()
