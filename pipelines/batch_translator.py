"""A worker that translates batches of pairs: their units, or their recordings, by whatever the model is."""

import dataclasses
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from s2st import audio, griffin_lim, storage, translators
from s2st.baselines.cascade import CascadeTranslator
from s2st.baselines.hosted import HostedTranslator
from s2st.config import UserError
from s2st.features.filterbank import check_lengths
from s2st.features.speech_mel import speech_log_mel, to_mel_rate
from s2st.schemas import TRANSLATIONS
from s2st.spectrogram_translator import SpectrogramTranslator
from s2st.translator import Translator, check_units
from stages import datasets

COSTS = "_costs"  # folder in the output: what each worker had a hosted service do, and the price of it


class BatchTranslator:
    """Takes pairs and gives translations with their audio."""

    def __init__(self, model: str, search: Mapping[str, Any], seed: int, output: str):
        """`search` has settings of SearchOptions in which the search is not as the model has it.

        What is drawn depends on `seed`. Pairs that the model cannot take are set aside beside the dataset `output`.
        """
        self.output, self.name = output, uuid.uuid4().hex
        self.translator: Any = translators.load(model, "cuda" if torch.cuda.is_available() else "cpu")
        self.options, self.seed = dataclasses.replace(self.translator.search, **search), seed

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of PAIRS or SPEECH_PAIRS into rows of TRANSLATIONS, one batch a target language."""
        rows, rejects = self._open(table.to_pylist())
        datasets.set_aside(rejects, self.output)
        if rows:  # each batch has a seed of its own, whichever worker takes it
            torch.manual_seed(zlib.crc32(f"{self.seed} {rows[0]['pair_id']}".encode()))
        done: list[dict[str, Any]] = []
        for target in sorted({row["target_lang"] for row in rows}):
            done += self._translate([row for row in rows if row["target_lang"] == target], target)
        return pa.Table.from_pylist(done, schema=TRANSLATIONS)

    def _open(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Put source and target beside each row; give those that can be used, and the others as rows of REJECTS."""
        good, rejects = [], []
        for row in rows:
            try:
                good.append({**row, "source": self._source(row), "target": self._target(row)})
            except (UserError, audio.AudioError) as error:
                reason = f"pair '{row['pair_id']}': {error}"
                rejects.append({"utterance_id": row["source_utterance_id"], "lang": row["source_lang"]})
                rejects[-1].update(split=row["split"], reason=reason)
        return good, rejects

    def _source(self, row: dict[str, Any]) -> np.ndarray:
        """Give the units or the waveform; raises UserError for too few or too many, AudioError for no audio."""
        if isinstance(self.translator, Translator):
            units = np.asarray(row["source_units"], dtype=np.int32)
            check_units(self.translator.translator, units, row["source_lang"])
            return units
        waveform = audio.decode(row["source_audio"])
        check_lengths([waveform], self.translator.max_source_frames)
        return waveform

    def _target(self, row: dict[str, Any]) -> Any:
        """Give what the model is to say: the true units, or the waveform or the text where its voice speaks those."""
        if isinstance(self.translator, CascadeTranslator):
            return row["target_text"]
        if isinstance(self.translator, SpectrogramTranslator | HostedTranslator):
            return audio.decode(row["target_audio"])
        return np.asarray(row["target_units"], dtype=np.int32)

    def _translate(self, rows: list[dict[str, Any]], target: str) -> list[dict[str, Any]]:
        units = isinstance(self.translator, Translator)
        translate = self.translator.translate_units if units else self.translator.translate_batch
        sources, langs = [row["source"] for row in rows], [row["source_lang"] for row in rows]
        try:
            translations = translate(sources, langs, target, self.options)
        finally:
            if isinstance(self.translator, HostedTranslator):  # what was done is paid, though one of them failed
                storage.write_json(f"{self.output}/{COSTS}/{self.name}.json", self.translator.totals())
        done = []
        ceilings = self._ceilings([row["target"] for row in rows], target)
        for row, translation, ceiling in zip(rows, translations, ceilings, strict=True):
            done.append(
                {
                    **{name: row[name] for name in TRANSLATIONS.names if name in row},
                    "units": translation.units.tolist(),
                    "durations": translation.durations.tolist(),
                    "reference_units": row["target_units"],
                    "finished": translation.finished,
                    "loops": translation.loops,
                    "audio": audio.encode(translation.waveform),
                    "ceiling_audio": audio.encode(ceiling),
                    "seconds": len(translation.waveform) / audio.SAMPLE_RATE,
                }
            )
        return done

    def _ceilings(self, references: list[Any], lang: str) -> list[np.ndarray]:
        """Give what the voice can say at best: the true units, spectrogram or text.

        A hosted voice costs money, and for its best the recording stands.
        """
        if isinstance(self.translator, HostedTranslator):
            return references
        if isinstance(self.translator, CascadeTranslator):
            return self.translator.speaker.speak(references, lang)
        if isinstance(self.translator, SpectrogramTranslator):
            return [griffin_lim.speak_resampled(speech_log_mel(to_mel_rate(true))) for true in references]
        return [waveform for waveform, _ in self.translator.voices[lang].speak(references, lang)]
