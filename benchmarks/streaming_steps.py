"""How soon a streamed translation is heard, in a process of its own on one thread: the models without Ray.

python -m benchmarks.streaming_steps FOLDER SECONDS BEAM RUNS     FOLDER: models of the demo's sizes, random weights,
                                                                  as benchmarks.serving_steps makes them
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

NUM_MERGES = 300  # of the demo


def first_audio(folder: str, seconds: float, beam: int, runs: int) -> dict[str, Any]:
    """Translate `seconds` of speech: times to the first chunk and to the last, whole answers, and their length."""
    import numpy as np
    import torch

    from benchmarks.serving_steps import clips
    from s2st.audio import SAMPLE_RATE
    from s2st.beam_search import SearchOptions
    from s2st.growing_speech import GrowingSpeech
    from s2st.growing_translation import translate_growing
    from s2st.translator import Translator

    torch.set_num_threads(1)
    models = Translator.load(folder)
    models.translator = talkative(models.translator)
    waveform = np.resize(np.concatenate([waveform for waveform, _ in clips(folder)]), int(seconds * SAMPLE_RATE))

    def grow() -> Iterator[np.ndarray]:
        (units,) = models.units([waveform])
        speech = GrowingSpeech(models.voices["hi"], "hi")
        for part in translate_growing(models.translator, units, "en", "hi", SearchOptions(beam=beam)):  # type: ignore[arg-type]
            yield from speech.add(part)
        yield from speech.end()

    times: dict[str, list[float]] = {"first": [], "last": [], "whole": []}
    num_samples = 0
    for _ in range(runs):
        start = time.process_time()
        chunks = grow()
        num_samples = len(next(chunks))
        times["first"].append(time.process_time() - start)
        num_samples += sum(map(len, chunks))
        times["last"].append(time.process_time() - start)
        start = time.process_time()
        models.translate(waveform, "hi", options=SearchOptions(beam=beam))
        times["whole"].append(time.process_time() - start)
    return {**times, "seconds": num_samples / SAMPLE_RATE}


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
    """Measure, and print what was found as JSON."""
    folder, seconds, beam, runs = sys.argv[1:]
    print(json.dumps(first_audio(folder, float(seconds), int(beam), int(runs))))


if __name__ == "__main__":
    main()
