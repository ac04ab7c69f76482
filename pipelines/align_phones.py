"""Speak the phrasebook's sentences again, and note where each phone of a recording starts.

espeak-ng gives the same samples whenever it speaks the same shard, and it knows its phones: no aligner is needed, and
none has to be trusted. A recording whose length is not that of the manifest is of another espeak-ng, and is rejected.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from s2st import audio, storage
from s2st.config import UserError, build
from s2st.corpora import espeak
from s2st.corpora.corpus import SPLITS
from s2st.corpora.phrasebook import Phrasebook, PhrasebookConfig
from s2st.schemas import MANIFEST, PHONES
from stages import datasets
from stages.run import main
from stages.stage import MADE_BY, Counts, Input, Stage, Step, resource


@dataclass(frozen=True)
class AlignPhonesConfig:
    splits: tuple[str, ...] = ("test",)  # the others take as long as ingest took for them
    max_workers: int = resource(2)  # shards spoken at once

    def __post_init__(self) -> None:
        if not self.splits:
            raise ValueError(f"splits is empty; name some of {', '.join(SPLITS)}")
        for split in self.splits:
            if split not in SPLITS:
                raise ValueError(f"there is no split '{split}'; take some of {', '.join(SPLITS)}")


class PhoneAligner:
    """Speaks one shard; rejects go beside the output."""

    def __init__(self, phrasebook: Phrasebook, lengths: dict[str, int], output: str):
        self.phrasebook, self.lengths, self.output = phrasebook, lengths, output

    def __call__(self, batch: dict[str, np.ndarray]) -> pa.Table:
        """Make rows of PHONES of the shard in `batch["item"]`, for recordings that the manifest has."""
        rows, rejects = [], []
        for recording, phones in (pair for shard in batch["item"] for pair in self.phrasebook.read_phones(shard)):
            if recording.utterance_id not in self.lengths:
                continue
            row = {"utterance_id": recording.utterance_id, "lang": recording.lang, "split": recording.split}
            num_samples = len(audio.decode(recording.audio)) if recording.audio else 0
            expected = self.lengths[recording.utterance_id]
            if num_samples != expected:
                rejects.append({**row, "reason": f"spoken again it has {num_samples} samples instead of {expected}"})
                continue
            starts = [round(phone.start * audio.SAMPLE_RATE / espeak.SAMPLE_RATE) for phone in phones]
            rows.append({**row, "phones": [phone.name for phone in phones], "starts": starts, "num_samples": expected})
        datasets.set_aside(rejects, self.output)
        return pa.Table.from_pylist(rows, schema=PHONES)


def phrasebook_of(step: Step) -> Phrasebook:
    """Get the phrasebook that the manifest was made of; raises UserError if it was made of another corpus."""
    manifest = step.input("manifest")
    settings = storage.read_json(f"{manifest}/{MADE_BY}")["settings"].get("phrasebook")
    if settings is None:
        raise UserError(
            f"section '{step.name}': {manifest} is not of the phrasebook, and of no other corpus the times of phones "
            f"are known; remove the section, and `phones` where it is read"
        )
    return Phrasebook(build(PhrasebookConfig, settings, step.name))


def check_inputs(config: AlignPhonesConfig, step: Step) -> None:
    """Raise UserError if the phones of the manifest are not known, or it has none of a split."""
    spoken = {shard.split for shard in phrasebook_of(step).shards()}
    if missing := [split for split in config.splits if split not in spoken]:
        raise UserError(
            f"section '{step.name}': {step.input('manifest')} has no speech of the split '{missing[0]}'; "
            f"remove it from splits (found: {', '.join(split for split in SPLITS if split in spoken)})"
        )


def run(config: AlignPhonesConfig, step: Step) -> Counts:
    """Speak the shards of the splits on the workers and write the phones."""
    phrasebook = phrasebook_of(step)
    manifest = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id", "split", "num_samples"])
    manifest = manifest.filter(pc.is_in(manifest["split"], pa.array(config.splits)))
    lengths = dict(zip(manifest["utterance_id"].to_pylist(), manifest["num_samples"].to_pylist(), strict=True))
    shards = [shard for shard in phrasebook.shards() if shard.split in config.splits]
    aligner = PhoneAligner(phrasebook, lengths, step.output)
    rows = ray.data.from_items(shards, override_num_blocks=len(shards)).map_batches(
        aligner, batch_size=1, compute=ray.data.TaskPoolStrategy(size=config.max_workers)
    )
    datasets.write(rows, step.output)
    rows_out, num_rejects = datasets.count(step.output, PHONES), len(datasets.rejects(step.output))
    datasets.check_nothing_lost(step.output, len(lengths), rows_out, num_rejects)
    hours = sum(lengths.values()) / audio.SAMPLE_RATE / 3600
    return Counts(len(lengths), rows_out, num_rejects, round(hours, 4))


STAGE = Stage(AlignPhonesConfig, run, reads={"manifest": Input(MANIFEST)}, check_inputs=check_inputs)

if __name__ == "__main__":
    main("pipelines.align_phones")
