"""Build the parallel corpus: recordings of one sentence in two languages, as reduced units.

Targets may have other units than sources: those of a speech normaliser (target_units), the same for all speakers.
Beside the pairs lie `_filtered.json`, what each filter took, and `_missing_partners.tsv`, the languages that a sentence
lacks. Units stay in Arrow: a million recordings fit in memory.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st import audio, storage
from s2st.config import UserError
from s2st.pairing import (
    FILTERS,
    KEPT,
    TRAIN,
    PairingConfig,
    Pairs,
    Recordings,
    arrange,
    make_pairs,
    parse_directions,
    split_sentences,
    unpaired,
)
from s2st.schemas import PAIRS, UNIT, UNITS
from s2st.speech_to_units import frames_per_second
from s2st.units import reduce_rows
from stages import datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

COLUMNS = ("utterance_id", "sentence_id", "lang", "split", "speaker", "units", "num_samples", "codebook")
REDUCED_ROWS = 1 << 14  # recordings reduced at once
FILE_PAIRS = 1 << 17  # pairs of one file; their units are some hundred MB
TOLD_DIRECTIONS = 12  # in one line at the terminal


def check_inputs(config: PairingConfig, step: Step) -> None:
    """Raise UserError if the units of all sections named do not go together, or make no pair of languages."""
    table = read_units(step, ("utterance_id", "lang", "codebook"))
    if len(codebooks := pc.unique(table["codebook"])) > 1:
        raise UserError(f"section '{step.name}': the units are of {len(codebooks)} codebooks; pair those of one")
    if pc.count_distinct(table["utterance_id"]).as_py() < len(table):
        folders = ", ".join(step.input_list("units"))
        raise UserError(f"section '{step.name}': an utterance comes twice in {folders}; name each once")
    languages = sorted(pc.unique(table["lang"]).to_pylist())
    for folder in step.input_list("target_units"):
        found = pc.unique(datasets.read_table(folder, UNITS, ["codebook"])["codebook"])
        if found.to_pylist() != codebooks.to_pylist():
            raise UserError(f"section '{step.name}': target_units are of another codebook than units")
    if not parse_directions(config.directions, languages):
        raise UserError(f"section '{step.name}': all units are in one language ({languages[0]}); pairs need two")


def run(config: PairingConfig, step: Step) -> Counts:
    """Pair within each sentence; recordings that end in no pair are rejects."""
    table = read_units(step, COLUMNS)
    languages = sorted(pc.unique(table["lang"]).to_pylist())
    directions = parse_directions(config.directions, languages)
    rows, misplaced = split_sentences(without_units(table), config)
    recordings = arrange(rows, languages, config)
    pairs = make_pairs(recordings, directions, config)
    if misplaced:
        tell(f"{step.name}: {len(misplaced)} recordings are set aside, as their sentence is kept in another split")
    tell_missing_partners(recordings, step)
    tell_filters(pairs, directions, step)
    check_some_are_kept(recordings, pairs, step)
    rejects = misplaced + unpaired(recordings, pairs)
    datasets.set_aside(rejects, step.output)
    units = reduced_units(table["units"])
    write(recordings, pairs, units, target_units(table["utterance_id"], units, step), config.seed, step.output)
    return Counts(len(table), len(pairs.source), len(rejects), unit="pairs")


def read_units(step: Step, columns: Sequence[str]) -> pa.Table:
    """Read columns of the units of all sections named."""
    return pa.concat_tables(datasets.read_table(folder, UNITS, columns) for folder in step.input_list("units"))


def without_units(table: pa.Table) -> pa.Table:
    """Put in place of the units their row and their seconds."""
    num_samples = table["num_samples"].to_numpy()
    num_units = pc.list_value_length(table["units"]).to_numpy()
    rate = frames_per_second(table["codebook"][0].as_py())
    # units made elsewhere do not know their samples
    seconds = np.where(num_samples > 0, num_samples / audio.SAMPLE_RATE, num_units / rate)
    table = table.drop_columns(["units", "num_samples"]).append_column("seconds", pa.array(seconds))
    return table.append_column("row", pa.array(np.arange(len(table))))


def tell_missing_partners(recordings: Recordings, step: Step) -> None:
    """List the languages of the corpus that each sentence lacks, in _missing_partners.tsv."""
    lacks = recordings.counts == 0
    lacking = np.flatnonzero(lacks.any(axis=1))
    languages = np.array(recordings.languages)
    one_each = recordings.table.take(np.searchsorted(recordings.sentence, lacking))
    lines = ["sentence_id\tsplit\tmissing"]
    for sentence, row in zip(lacking, one_each.select(["sentence_id", "split"]).to_pylist(), strict=True):
        lines.append(f"{row['sentence_id']}\t{row['split']}\t{','.join(languages[lacks[sentence]])}")
    path = f"{step.output}/_missing_partners.tsv"
    storage.write_bytes(path, ("\n".join(lines) + "\n").encode())
    if len(lacking):
        tell(f"{step.name}: {len(lacking)} of {len(lacks)} sentences lack a language, see {path}")


def tell_filters(pairs: Pairs, directions: list[tuple[str, str]], step: Step) -> None:
    """Write what each filter took of each direction to _filtered.json, and tell it in a line."""
    record, taken = {}, []
    for direction, (*counts, kept) in zip(map("-".join, directions), pairs.verdicts.tolist(), strict=True):
        by_filter = dict(zip(FILTERS, counts, strict=True))
        record[direction] = {"pairs": sum(counts) + kept, **by_filter, "kept": kept}
        if sum(counts):
            taken.append(f"{direction} {', '.join(f'{name} {count}' for name, count in by_filter.items() if count)}")
    path = f"{step.output}/_filtered.json"
    storage.write_json(path, record)
    if len(taken) > TOLD_DIRECTIONS:
        taken[TOLD_DIRECTIONS:] = [f"{len(taken) - TOLD_DIRECTIONS} more directions in {path}"]
    told = f"; filters took: {'; '.join(taken)}" if taken else ""
    tell(f"{step.name}: {len(pairs.source)} of {pairs.verdicts.sum()} pairs are kept{told}")


def check_some_are_kept(recordings: Recordings, pairs: Pairs, step: Step) -> None:
    """Raise UserError if there are no pairs, or none to train on although the corpus has some."""
    if not pairs.verdicts.any():
        raise UserError(f"section '{step.name}': no sentence is there in two languages; look at the sentence_id")
    met = pairs.met[recordings.split == TRAIN]
    if met.any() and not (met & (1 << KEPT)).any():
        raise UserError(
            f"section '{step.name}': the filters took every training pair; look at {step.output}/_filtered.json "
            "and widen min_seconds, max_seconds or max_ratio"
        )


def reduced_units(units: pa.ChunkedArray) -> pa.LargeListArray:
    """Reduce every row once, however many pairs it is in; the offsets of a plain list end at 2^31 units."""
    values: list[np.ndarray] = []
    offsets = [np.zeros(1, np.int64)]
    for part in (units[start : start + REDUCED_ROWS] for start in range(0, len(units), REDUCED_ROWS)):
        part = part.combine_chunks()
        starts = part.offsets.to_numpy()
        reduced, ends = reduce_rows(part.flatten().to_numpy(), starts - starts[0])
        values.append(reduced)
        offsets.append(offsets[-1][-1] + ends[1:])
    return pa.LargeListArray.from_arrays(np.concatenate(offsets), np.concatenate(values))


def target_units(utterance_ids: pa.ChunkedArray, units: pa.LargeListArray, step: Step) -> pa.LargeListArray:
    """Give the reduced units that recordings have as targets: those of the input `target_units`, if it is there."""
    if not step.inputs.get("target_units"):
        return units
    replaced = datasets.read_table(step.input("target_units"), UNITS, ["utterance_id", "units"])
    places = pc.index_in(utterance_ids, replaced["utterance_id"]).combine_chunks()
    if places.null_count:
        tell(f"{step.name}: {places.null_count} of {len(units)} recordings lack target_units and keep their own")
    both = pa.concat_arrays([units, reduced_units(replaced["units"])])
    own = pa.array(np.arange(len(units)), pa.int64())
    return both.take(pc.if_else(pc.is_valid(places), pc.add(places.cast(pa.int64()), len(units)), own))


def write(
    recordings: Recordings, pairs: Pairs, units: pa.LargeListArray, targets: pa.LargeListArray, seed: int, folder: str
) -> None:
    """Write rows of PAIRS, mixed: sentences of one kind stand together, and a trainer shuffles a window at a time."""
    order = np.random.default_rng(seed).permutation(len(pairs.source))
    for part, start in enumerate(range(0, len(order), FILE_PAIRS)):
        chosen = order[start : start + FILE_PAIRS]
        source = recordings.table.take(pairs.source[chosen])
        target = recordings.table.take(pairs.target[chosen])
        columns = {
            "pair_id": pc.binary_join_element_wise(source["utterance_id"], target["utterance_id"], "--"),
            "sentence_id": source["sentence_id"],
            "source_lang": source["lang"],
            "target_lang": target["lang"],
            "split": source["split"],
            "source_utterance_id": source["utterance_id"],
            "target_utterance_id": target["utterance_id"],
            "source_units": units.take(source["row"].combine_chunks()).cast(pa.list_(UNIT)),
            "target_units": targets.take(target["row"].combine_chunks()).cast(pa.list_(UNIT)),
            "codebook": source["codebook"],
        }
        datasets.write_table(pa.table(columns, schema=PAIRS), folder, part)


STAGE = Stage(
    PairingConfig,
    run,
    reads={"units": Input(UNITS, many=True), "target_units": Input(UNITS, optional=True)},
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.build_pairs")
