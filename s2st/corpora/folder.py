"""A folder of recordings, named in one of two ways, or both:

    <root>/<lang>/<split>/<id>.wav       the same id in every language
    <root>/<split>/<name>_<lang>_<n>.wav the same name and n in every language (as UTUT's units are named)

Splits are train or training; validation, valid, val, dev, devel, development or eval; test or testing; in any case of
letters. More folders may lie above or below: en/train/speaker1/a.wav is the sentence speaker1-a. Files in no folder
but the language's are split by a hash of the sentence, the same for all languages. A file in folders that name no
split, such as en/speaker1/a.wav, is refused, since what en/heldout holds would end up in training; where the folders
hold nothing out, folders_without_split=true leaves such files to the hash too.

Text is optional, in files `transcripts.tsv` of lines `path or id<TAB>text`: paths are relative to the file's own
folder; ids are file names without suffix, and must tell the language by themselves or by the folder that the file is
in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pyarrow import fs

from s2st import storage
from s2st.config import UserError
from s2st.corpora.corpus import SPLIT_OF, Recording, Shard, check_split_folders, place, split_of

SUFFIXES = (".wav", ".flac", ".ogg", ".opus")
TRANSCRIPTS = "transcripts.tsv"
LAYOUTS = "<lang>/<split>/<id>.wav or <split>/<name>_<lang>_<n>.wav"
NAME = re.compile(r"(.+)_([a-z]{2,3})_(\d+)")
LANGUAGE = re.compile(r"[a-z]{2,3}")
FILES_PER_SHARD = 100


@dataclass(frozen=True)
class FolderConfig:
    root: str  # a folder or a bucket (s3://, gs://)
    languages: tuple[str, ...] = ()  # ISO 639-1; none named: all that are there
    folders_without_split: bool = False  # take files that lie in folders, but in none that names a split
    validation_share: float = 0.05  # of the sentences that no folder gives a split
    test_share: float = 0.05  # of the same
    seed: int = 0  # of the hash that splits them

    def __post_init__(self) -> None:
        shares = (self.validation_share, self.test_share)
        if min(shares) < 0 or sum(shares) >= 1:
            raise UserError("validation_share and test_share must not be negative, and must leave a rest to train on")


@dataclass(frozen=True)
class Name:
    """What the path of a recording tells, before its split is known."""

    path: str  # below the root
    lang: str
    sentence: str  # the same in every language
    split_folders: tuple[str, ...]  # that name a split
    folders: tuple[str, ...]  # the others, but the language's


@dataclass(frozen=True)
class File:
    """One recording in the folder."""

    path: str  # below the root
    lang: str
    sentence: str
    split: str
    text: str = ""


@dataclass(frozen=True)
class FolderShard(Shard):
    """Some files of one language and split."""

    files: tuple[File, ...]


class Folder:
    """A corpus in a folder; see s2st.corpora.corpus for what a corpus is."""

    def __init__(self, config: FolderConfig) -> None:
        self.config = config

    def shards(self) -> list[FolderShard]:
        """List the folder and group its files; reads the transcripts, but no audio."""
        files = self._files()
        texts = self._transcripts()
        groups: dict[tuple[str, str], list[File]] = {}
        for file in files:
            with_text = replace(file, text=find_text(file, texts))
            groups.setdefault((file.lang, file.split), []).append(with_text)
        return [
            FolderShard(f"{self.config.root} ({lang}, {split})", len(part), tuple(part))
            for (lang, split), group in sorted(groups.items())
            for start in range(0, len(group), FILES_PER_SHARD)
            for part in [group[start : start + FILES_PER_SHARD]]
        ]

    def read(self, shard: FolderShard) -> Iterator[Recording]:
        """Read the files of a shard, one at a time."""
        system, root = storage.resolve(self.config.root)
        for file in shard.files:
            data, reject = b"", None
            try:
                with system.open_input_stream(f"{root}/{file.path}") as stream:
                    data = stream.read()
                if not data:
                    reject = "the file is empty"
            except OSError as error:
                reject = f"the file cannot be read: {error.strerror or type(error).__name__}"
            yield Recording(
                utterance_id=f"folder-{file.lang}-{file.split}-{file.sentence}",
                sentence_id=f"folder-{file.sentence}",
                lang=file.lang,
                split=file.split,
                speaker=f"folder-{file.lang}",
                text=file.text,
                audio=data,
                reject=reject,
            )

    def _files(self) -> list[File]:
        """List the recordings, checked: each once, and no sentence in two splits."""
        system, root = storage.resolve(self.config.root)
        if system.get_file_info(root).type != fs.FileType.Directory:
            raise UserError(f"there is no folder {self.config.root}; set root to the folder of your recordings")
        paths = [path for suffix in SUFFIXES for path in self._paths(suffix)]
        if not paths:
            raise UserError(f"{self.config.root} has no {', '.join(SUFFIXES)} files named {LAYOUTS}")
        names = [self._name(path) for path in sorted(paths)]
        there = sorted({name.lang for name in names})
        for lang in self.config.languages:
            if lang not in there:
                raise UserError(f"{self.config.root} has no language '{lang}'; it has {', '.join(there)}")
        names = [name for name in names if name.lang in (self.config.languages or there)]
        files = [File(name.path, name.lang, name.sentence, self._split(name)) for name in names]
        self._check_sentences(files)
        split_folders = [(name.lang, name.split_folders[-1], name.path) for name in names if name.split_folders]
        check_split_folders(self.config.root, split_folders)
        return files

    def _check_sentences(self, files: list[File]) -> None:
        """Raise UserError for a sentence in two splits, or twice in a language."""
        first: dict[str, File] = {}
        recordings: dict[tuple[str, str], File] = {}
        for file in files:
            other = first.setdefault(file.sentence, file)
            if other.split != file.split:
                raise UserError(
                    f"{self.config.root}: sentence '{file.sentence}' is in two splits ({other.path} and "
                    f"{file.path}); move them to one, or the test would be on what was trained on"
                )
            twin = recordings.setdefault((file.lang, file.sentence), file)
            if twin is not file:
                raise UserError(
                    f"{self.config.root}: {twin.path} and {file.path} are the same sentence in one "
                    "language; remove or rename one"
                )

    def _paths(self, suffix: str) -> list[str]:
        _, root = storage.resolve(self.config.root)
        paths = [path for cased in (suffix, suffix.upper()) for path in storage.list_files(self.config.root, cased)]
        below = [str(PurePosixPath(path).relative_to(root)) for path in paths]
        return [path for path in below if not PurePosixPath(path).name.startswith(".")]

    def _name(self, path: str) -> Name:
        """Tell the language and the sentence by the path below the root, and which folders may tell the split."""
        *folders, _ = PurePosixPath(path).parts
        stem = PurePosixPath(path).stem
        naming_splits = tuple(folder for folder in folders if split_of(folder))
        others = tuple(folder for folder in folders if folder not in naming_splits)
        # a first folder dev or val is no language, though it looks like one
        first = folders[0] if folders and folders[0] not in naming_splits else ""
        lang_folder = first if LANGUAGE.fullmatch(first) else None
        inner = others[1:] if lang_folder else others
        name = NAME.fullmatch(stem)
        if name and name[2] == (lang_folder or name[2]):
            return Name(path, name[2], f"{name[1]}-{name[3]}", naming_splits, inner)
        if lang_folder:
            return Name(path, lang_folder, "-".join([*inner, stem]), naming_splits, inner)
        raise UserError(f"{self.config.root}/{path} does not tell its language; name it {LAYOUTS}")

    def _split(self, name: Name) -> str:
        """Give the split that folders tell, or that of the hash; raises UserError where it is in doubt."""
        splits = {split for folder in name.split_folders if (split := split_of(folder))}
        if len(splits) > 1:
            raise UserError(
                f"{self.config.root}/{name.path} is in folders of two splits ({', '.join(name.split_folders)}); move "
                "it into one"
            )
        if name.folders and not splits and not self.config.folders_without_split:
            raise UserError(
                f"{self.config.root}/{name.path}: no folder of {'/'.join(name.folders)} names a split "
                f"({', '.join(SPLIT_OF)}); rename one, or, if they hold nothing out, write folders_without_split: true "
                "beside root for a hash to split them"
            )
        return splits.pop() if splits else self._hashed_split(name.sentence)

    def _hashed_split(self, sentence: str) -> str:
        there = place(sentence, self.config.seed)
        if there < self.config.test_share:
            return "test"
        return "validation" if there < self.config.test_share + self.config.validation_share else "train"

    def _transcripts(self) -> dict[str, dict[str, str]]:
        """Read all transcripts: folder below the root -> path or id -> text."""
        system, root = storage.resolve(self.config.root)
        texts: dict[str, dict[str, str]] = {}
        for path in storage.list_files(self.config.root, f"/{TRANSCRIPTS}"):
            below = PurePosixPath(path).relative_to(root)
            with system.open_input_stream(path) as stream:
                data = stream.read()
            try:
                lines = data.decode("utf-8-sig").splitlines()
            except UnicodeDecodeError:
                raise UserError(f"{self.config.root}/{below} is not UTF-8 text; save it as UTF-8") from None
            entries = texts.setdefault(str(below.parent), {})
            for number, line in enumerate(lines, start=1):
                key, tab, text = line.partition("\t")
                if line.strip() and not tab:
                    raise UserError(f"{self.config.root}/{below}, line {number} has no tab between id and text")
                entries[key.strip()] = text.strip()
        return texts


def find_text(file: File, texts: dict[str, dict[str, str]]) -> str:
    """Look a file up in the transcripts of the folders above it, nearest first."""
    path = PurePosixPath(file.path)
    for folder in path.parents:
        entries = texts.get(str(folder), {})
        below = path.relative_to(folder)
        keys = [str(below), str(below.with_suffix(""))]
        if NAME.fullmatch(path.stem) or str(folder) != ".":  # a bare id at the root fits every language
            keys.append(path.stem)
        for key in keys:
            if key in entries:
                return entries[key]
    return ""
