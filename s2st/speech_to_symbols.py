"""Speech to symbols: what a HuBERT that was fine-tuned by CTC hears, as text or as units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from s2st import checkpoint
from s2st.config import UserError
from s2st.ctc_decoding import beam_search, best_path, fill_path
from s2st.feature_extractor import BATCH_SECONDS, FeatureExtractor, FeaturesConfig
from s2st.models.hubert_ctc import WORD_BOUNDARY, HubertCtc, of_symbols
from s2st.models.recognizer import normalize_text


class SpeechToSymbols:
    """Waveforms to symbols; `info` is what the checkpoint tells of the model."""

    def __init__(self, model: HubertCtc, info: dict[str, Any], batch_seconds: float = BATCH_SECONDS):
        assert not model.training, "call eval() first: masks would be heard"
        self.model, self.info = model, info
        # long recordings are cut, and batches padded, as they are for units
        features = FeaturesConfig("hubert", layer=model.config.encoder.num_layers)
        self.extractor = FeatureExtractor(features, model.encoder, batch_seconds)

    @classmethod
    def load(cls, folder: str, device: str = "cpu", batch_seconds: float = BATCH_SECONDS) -> "SpeechToSymbols":
        """Read a model from a folder that trainers.ctc wrote."""
        model, info = checkpoint.load(folder, "hubert_ctc")
        assert isinstance(model, HubertCtc)
        return cls(model.to(device), info, batch_seconds)

    @torch.inference_mode()
    def log_probs(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give the log-probabilities (T, 1 + S) of the blank and each symbol, frame by frame, of each waveform (N,).

        Those of fairseq's other special rows, which are never a label, are left out.
        """
        device = self.model.output.weight.device
        scores = [self.model.score(torch.from_numpy(features).to(device)) for features in self.extractor(waveforms)]
        return [of_symbols(rows).cpu().numpy() for rows in scores]

    def transcribe(self, waveforms: Sequence[np.ndarray], beam: int = 1) -> list[str]:
        """Hear the text of each waveform (N,): of the likeliest path, or of the likeliest letters if beam > 1.

        The text is in the spelling of `normalize_text`; a waveform shorter than a frame gives "".
        """
        return [self.text(log_probs, beam) for log_probs in self.log_probs(waveforms)]

    def text(self, log_probs: np.ndarray, beam: int = 1) -> str:
        """`transcribe` one utterance of which the log-probabilities are known."""
        heard = best_path(log_probs) if beam == 1 else beam_search(log_probs, beam)[0]
        letters = "".join(self.model.config.symbols[symbol] for symbol in heard)
        return normalize_text(letters.replace(WORD_BOUNDARY, " "))

    def units(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Hear units: each frame has the one that was heard last, those before the first have the first.

        Reduced, they are the units heard (which hold no unit twice in a row), and their durations say when.
        Gives units (T,), int32, of each waveform (N,); (0,) if none is heard in it. Raises UserError for a model of
        letters.
        """
        try:
            numbers = np.array([int(symbol) for symbol in self.model.config.symbols], np.int32)
        except ValueError:
            raise UserError("this model hears letters and not units; give one that was trained on units") from None
        paths = [fill_path(log_probs) for log_probs in self.log_probs(waveforms)]
        return [numbers[path[path >= 0]] for path in paths]
