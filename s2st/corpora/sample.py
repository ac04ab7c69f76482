"""The shipped sample of human speech, 431 prompts in English, Spanish and French: sample_data/CREDITS.md."""

from dataclasses import dataclass
from pathlib import Path

from s2st.corpora.fleurs import Fleurs, FleursConfig


@dataclass(frozen=True)
class SampleConfig:
    languages: tuple[str, ...] = ("en", "es", "fr")  # of en, es, fr


class Sample(Fleurs):
    """The sample, read as FLEURS is: its files have the same layout and columns."""

    name = "sample"
    speakers_differ_by_split = False  # one person reads all prompts of a language

    def __init__(self, config: SampleConfig) -> None:
        super().__init__(FleursConfig(config.languages))

    @property
    def root(self) -> str:
        """The folder beside this module, wherever the worker has it."""
        return str(Path(__file__).with_name("sample_data"))
