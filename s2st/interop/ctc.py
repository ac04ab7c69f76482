"""Models of transformers that were fine-tuned by CTC, as recognisers: wav2vec 2.0, HuBERT, WavLM and their kin."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from s2st.audio import SAMPLE_RATE
from s2st.config import UserError
from s2st.interop.hearing import hear_in_parts
from s2st.interop.pretrained import read_model, read_pretrained

LONGEST_SECONDS = 60.0  # heard at once: attention takes memory by the square of it; longer recordings are cut


class CtcModel:
    """Transcribes by the likeliest path; has the interface of this project's recognisers."""

    def __init__(self, model: Any, extractor: Any, tokenizer: Any, batch_size: int) -> None:
        """Take a model of transformers, and what prepares its waveforms and spells its letters."""
        self.model, self.extractor, self.tokenizer = model, extractor, tokenizer
        # models with a group norm over time hear padding, unless each recording comes alone
        hears_padding = getattr(model.config, "feat_extract_norm", None) == "group"
        self.batch_size = 1 if hears_padding or not extractor.return_attention_mask else batch_size

    @torch.inference_mode()
    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Hear the text of each waveform (N,), as the model spells it; one shorter than a frame gives ""."""
        return hear_in_parts(waveforms, LONGEST_SECONDS, self._hear_all)

    def _hear_all(self, parts: list[np.ndarray]) -> list[str]:
        order = sorted(range(len(parts)), key=lambda place: len(parts[place]))  # little padding
        heard = [""] * len(parts)
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            for place, text in zip(places, self._hear([parts[place] for place in places]), strict=True):
                heard[place] = text
        return heard

    def _hear(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        inputs = self.extractor(list(waveforms), sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt")
        symbols = self.model(**inputs.to(self.model.device)).logits.argmax(-1).cpu()
        lengths = self.model._get_feat_extract_output_lengths(torch.tensor([len(each) for each in waveforms]))
        return [self.tokenizer.decode(path[:length]) for path, length in zip(symbols, lengths.tolist(), strict=True)]


def load_ctc(name: str, revision: str | None, batch_size: int, device: str) -> CtcModel:
    """Read a model from a folder or the hub; raises UserError as `read_model`, and if it does not take waveforms."""
    extractor = read_pretrained("AutoFeatureExtractor", name, revision)
    if extractor.model_input_names[0] != "input_values" or extractor.sampling_rate != SAMPLE_RATE:
        raise UserError(f"{name} does not take waveforms of {SAMPLE_RATE} samples a second; name another model")
    tokenizer = read_pretrained("AutoTokenizer", name, revision)
    return CtcModel(read_model("AutoModelForCTC", name, revision, device), extractor, tokenizer, batch_size)
