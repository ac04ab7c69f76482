"""The source recordings of a folder of fairseq's speech_to_speech task, S2UT or S2SPECT: config.yaml, train.tsv, ...

The targets there are no recordings. Those of S2UT, units, come in by pipelines.exchange (read_units, format s2ut). What
one recording says is taken for a sentence, in both, so that each source meets all its targets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from s2st.config import UserError
from s2st.corpora.corpus import Recording, Shard
from s2st.fairseq import speech_folder
from s2st.fairseq.lines import check_language, check_local
from s2st.fairseq.multitask import MULTITASK, read_multitask, words
from s2st.fairseq.tsv import Line

FILES_PER_SHARD = 100


@dataclass(frozen=True)
class S2sConfig:
    root: str  # local folder
    lang: str = ""  # of the sources, where the tables do not name it
    letters: str = ""  # task of config_multitask.yaml that spells the sources, such as source_letter; none: no texts

    def __post_init__(self) -> None:
        check_local(self.root, "root of s2s")
        if self.lang:
            check_language(self.lang, f"lang of {self.root}")


@dataclass(frozen=True)
class Item:
    """A recording of a table, and what is known of it."""

    line: Line
    lang: str
    split: str
    text: str


@dataclass(frozen=True)
class S2sShard(Shard):
    """Some recordings of one table."""

    audio_root: Path
    items: tuple[Item, ...]


class S2s:
    """A corpus in a folder of fairseq's; see s2st.corpora.corpus for what a corpus is."""

    def __init__(self, config: S2sConfig) -> None:
        self.config = config

    def shards(self) -> list[S2sShard]:
        """Read the tables, but no audio; each recording comes once, whatever the number of its pairs."""
        folder = Path(self.config.root)
        audio_root = speech_folder.audio_root(folder).absolute()
        splits = speech_folder.splits(folder)
        texts = self._texts(folder, splits)
        first: dict[str, Item] = {}
        shards = []
        for split in splits:
            items = []
            for line in speech_folder.read_table(folder, split):
                lang = speech_folder.language(line, "src_lang", self.config.lang)
                item = Item(line, lang, speech_folder.our_split(split), texts.get(line.values["id"], ""))
                name = speech_folder.utterance_name(line)
                if first.setdefault(name, item) is item:
                    items.append(item)
                else:
                    _check_same(name, first[name], item)
            for start in range(0, len(items), FILES_PER_SHARD):
                part = tuple(items[start : start + FILES_PER_SHARD])
                shards.append(S2sShard(f"{folder}/{split}.tsv", len(part), audio_root, part))
        return shards

    def read(self, shard: S2sShard) -> Iterator[Recording]:
        """Read the recordings of a shard, one at a time."""
        for item in shard.items:
            data, reject = b"", None
            try:
                data = speech_folder.read_source(item.line, shard.audio_root).audio
            except UserError as error:
                reject = str(error)
            name = speech_folder.utterance_name(item.line)
            yield Recording(
                utterance_id=name,
                sentence_id=name,
                lang=item.lang,
                split=item.split,
                speaker=f"fairseq-{item.lang}",
                text=item.text,
                audio=data,
                reject=reject,
            )

    def _texts(self, folder: Path, splits: list[str]) -> dict[str, str]:
        """Read the texts of the sources: by the id of a pair."""
        if not self.config.letters:
            return {}
        tasks = read_multitask(folder, splits)
        if self.config.letters not in tasks:
            raise UserError(
                f"{folder / MULTITASK} has no task '{self.config.letters}' (found: {', '.join(tasks)}); mend letters"
            )
        targets = tasks[self.config.letters].targets
        return {pair_id: words(spelled) for split in splits for pair_id, spelled in targets[split].items()}


def _check_same(name: str, first: Item, item: Item) -> None:
    """Raise UserError unless two lines tell the same of what they call the same recording."""
    where = f"{item.line.where}: the recording '{name}' of {first.line.where}"
    if item.split != first.split:
        raise UserError(f"{where} is in two splits; move it to one, or the test would be on what was trained on")
    for column in ("src_audio", "src_n_frames"):
        if item.line.values[column] != first.line.values[column]:
            raise UserError(f"{where} has another {column} there; give each recording a name of its own")
    if (item.lang, item.text) != (first.lang, first.text):
        raise UserError(f"{where} has another language or text there; mend one")
