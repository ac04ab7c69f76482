"""FLEURS: the same sentences read in 102 languages, from the hub's Parquet branch or from a copy of it.

Files are `<config>/<split>/0000.parquet`, such as `hi_in/train/0001.parquet`. `id` numbers the sentence, the
same in all languages; several recordings may share it. FLEURS names no speakers: a gender and a split stand for
them, since nobody who reads training sentences reads others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from s2st import storage
from s2st.config import UserError
from s2st.corpora.corpus import SPLIT_OF, SPLITS, Recording, Shard, check_split_folders, split_of

HUB = "hf://datasets/google/fleurs@refs/convert/parquet"
COLUMNS = ["id", "path", "audio", "transcription", "gender"]
GENDERS = ("male", "female", "other")
ROWS_AT_ONCE = 16  # recordings in memory while a shard is read

CONFIGS = """
af_za am_et ar_eg as_in ast_es az_az be_by bg_bg bn_in bs_ba ca_es ceb_ph ckb_iq cmn_hans_cn cs_cz cy_gb
da_dk de_de el_gr en_us es_419 et_ee fa_ir ff_sn fi_fi fil_ph fr_fr ga_ie gl_es gu_in ha_ng he_il hi_in
hr_hr hu_hu hy_am id_id ig_ng is_is it_it ja_jp jv_id ka_ge kam_ke kea_cv kk_kz km_kh kn_in ko_kr ky_kg
lb_lu lg_ug ln_cd lo_la lt_lt luo_ke lv_lv mi_nz mk_mk ml_in mn_mn mr_in ms_my mt_mt my_mm nb_no ne_np
nl_nl nso_za ny_mw oc_fr om_et or_in pa_in pl_pl ps_af pt_br ro_ro ru_ru sd_in sk_sk sl_si sn_zw so_so
sr_rs sv_se sw_ke ta_in te_in tg_tj th_th tr_tr uk_ua umb_ao ur_pk uz_uz vi_vn wo_sn xh_za yo_ng
yue_hant_hk zu_za
"""
# language code -> config; codes are ISO 639-1 where there is one
CONFIG_OF = {config.split("_")[0]: config for config in CONFIGS.split()}
CONFIG_OF["zh"] = CONFIG_OF.pop("cmn")
CODE_OF = {config: code for code, config in CONFIG_OF.items()}


@dataclass(frozen=True)
class FleursConfig:
    languages: tuple[str, ...] = ("en", "hi")  # codes such as hi, or FLEURS's own names such as hi_in
    root: str = HUB  # the hub, a folder or a bucket (s3://, gs://) with the same layout
    rows_per_shard: int = 256  # a shard is whole row groups, about this many rows together

    def __post_init__(self) -> None:
        if self.rows_per_shard < 1:
            raise UserError("rows_per_shard must be at least 1")


@dataclass(frozen=True)
class ParquetShard(Shard):
    """A run of row groups of one file; `source` is the file's path below the root."""

    config: str  # FLEURS's name of the language
    split: str
    first_group: int
    group_rows: tuple[int, ...]  # rows of each row group


class Fleurs:
    """The FLEURS corpus; see s2st.corpora.corpus for what a corpus is."""

    name = "fleurs"  # begins every id
    speakers_differ_by_split = True

    def __init__(self, config: FleursConfig) -> None:
        self.config = config

    @property
    def root(self) -> str:
        """The folder with one folder a language."""
        return self.config.root.rstrip("/")

    def shards(self) -> list[ParquetShard]:
        """List runs of row groups; opens each file to read its footer."""
        configs = [_config_of(language) for language in self.config.languages]
        if len(set(configs)) < len(configs):
            raise UserError(f"a language is named twice in {', '.join(self.config.languages)}")
        return [
            shard
            for config in configs
            for path, split in self._files(config)
            for shard in self._shards_of(config, path, split)
        ]

    def read(self, shard: ParquetShard) -> Iterator[Recording]:
        """Read the row groups of a shard, a few recordings at a time."""
        system, root = storage.resolve(self.root)
        with system.open_input_file(f"{root}/{shard.source}") as file:
            table = pq.ParquetFile(file)
            for group, rows in enumerate(shard.group_rows, start=shard.first_group):
                done = 0
                try:
                    for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=COLUMNS):
                        for row in batch.to_pylist():
                            yield self._recording(shard, row, f"group{group}-row{done}")
                            done += 1
                except (pa.ArrowException, OSError) as error:
                    if not isinstance(system, fs.LocalFileSystem):
                        raise  # the network, most likely: whoever called may try again
                    reason = f"the rest of row group {group} cannot be read: {first_line(error)}"
                    for missing in range(done, rows):
                        yield self._recording(shard, {}, f"group{group}-row{missing}", reason)

    def _files(self, config: str) -> list[tuple[str, str]]:
        """List the Parquet files of a language below the root, with their splits."""
        found, split_folders = [], []
        for file in self._listed(config):
            folder, part, name = PurePosixPath("-", "-", file).parts[-3:]
            split_folder = part.removeprefix("partial-")  # of a split that the hub converted in part
            split = split_of(split_folder)
            if folder != config or not split:
                raise UserError(
                    f"{file} is in no {config}/<split> with a split of {', '.join(SPLIT_OF)}; rename its folder, "
                    "or move the file elsewhere"
                )
            path = f"{config}/{part}/{name}"
            found.append((path, split))
            split_folders.append((config, split_folder, path))
        if not found:
            raise UserError(
                f"{self.root} has no {config}/<split>/*.parquet with a split of {', '.join(SPLITS)}; "
                f"languages there: {', '.join(self._languages_there()) or 'none'}"
            )
        check_split_folders(self.root, split_folders)
        return found

    def _listed(self, config: str) -> list[str]:
        """Give the paths of the Parquet files in the folder of a language, sorted."""
        try:
            system, root = storage.resolve(self.root)
            selector = fs.FileSelector(f"{root}/{config}", recursive=True, allow_not_found=True)
            infos = system.get_file_info(selector)
        except Exception as error:  # every file system has its own
            raise UserError(
                f"cannot list {self.root}/{config}: {first_line(error)}; offline, set root to a copy"
            ) from error
        return sorted(info.path for info in infos if info.path.endswith(".parquet"))

    def _languages_there(self) -> list[str]:
        system, root = storage.resolve(self.root)
        infos = system.get_file_info(fs.FileSelector(root, allow_not_found=True))
        return sorted(info.base_name for info in infos if info.base_name in CODE_OF)

    def _shards_of(self, config: str, path: str, split: str) -> Iterator[ParquetShard]:
        where = f"{self.root}/{path}"
        system, root = storage.resolve(self.root)
        try:
            with system.open_input_file(f"{root}/{path}") as file:
                metadata = pq.read_metadata(file)
        except pa.ArrowInvalid:
            raise UserError(f"{where} is not a whole Parquet file; fetch it again") from None
        missing = sorted(set(COLUMNS) - set(metadata.schema.to_arrow_schema().names))
        if missing:
            raise UserError(f"{where} has no column '{missing[0]}'; FLEURS's are {', '.join(COLUMNS)}")
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        first = 0
        while first < len(sizes):
            last = first + 1
            while last < len(sizes) and sum(sizes[first : last + 1]) <= self.config.rows_per_shard:
                last += 1
            group_rows = tuple(sizes[first:last])
            if sum(group_rows):
                yield ParquetShard(path, sum(group_rows), config, split, first, group_rows)
            first = last

    def _recording(self, shard: ParquetShard, row: dict[str, Any], place: str, reject: str | None = None) -> Recording:
        lang = CODE_OF[shard.config]
        audio = row.get("audio") or {}
        name = row.get("path") or audio.get("path")
        data = audio.get("bytes") or b""
        sentence, gender = row.get("id"), row.get("gender", -1)
        if not reject and sentence is None:
            reject = "the row has no id"
        if not reject and not data:
            reject = "the row has no audio"
        parts = [self.name, shard.config, shard.split]
        if name and sentence is not None:
            parts += [str(sentence), PurePosixPath(name).stem]
        else:
            parts += [PurePosixPath(shard.source).stem, place]
        speaker = [self.name, lang, GENDERS[gender] if gender in range(len(GENDERS)) else "unknown"]
        if self.speakers_differ_by_split:
            speaker.append(shard.split)
        return Recording(
            utterance_id="-".join(parts),
            sentence_id=f"{self.name}-{sentence}",
            lang=lang,
            split=shard.split,
            speaker="-".join(speaker),
            text=row.get("transcription") or "",
            audio=data,
            reject=reject,
        )


def first_line(error: Exception) -> str:
    """Say what went wrong in one line; some errors have no text."""
    return str(error).partition("\n")[0] or type(error).__name__


def _config_of(language: str) -> str:
    config = CONFIG_OF.get(language, language)
    if config not in CODE_OF:
        raise UserError(f"FLEURS has no language '{language}'; it has {', '.join(sorted(CONFIG_OF))}")
    return config
