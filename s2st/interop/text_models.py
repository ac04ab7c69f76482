"""Models of transformers that translate text: Marian (OPUS-MT), M2M100 and NLLB, one for each direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from s2st.config import UserError
from s2st.interop.pretrained import read_model, read_pretrained


@dataclass(frozen=True)
class TextModelConfig:
    model: str  # a local folder, or a repository of the hub such as Helsinki-NLP/opus-mt-en-hi
    revision: str | None = None  # of the repository
    # what a model of many languages calls the two: hi for M2M100, hin_Deva for NLLB; none for a model of one direction
    source: str | None = None
    target: str | None = None
    beam: int = 4
    max_tokens: int = 256  # of a translation
    batch_size: int = 16  # texts translated at once

    def __post_init__(self) -> None:
        if (self.source is None) != (self.target is None):
            raise ValueError("source and target are told both, or neither")
        if min(self.beam, self.max_tokens, self.batch_size) < 1:
            raise ValueError("beam, max_tokens and batch_size must be at least 1")


class TextModel:
    """Translates text in one direction."""

    def __init__(self, model: Any, tokenizer: Any, config: TextModelConfig) -> None:
        """Take a model of transformers and its tokenizer; raises UserError for a language that they do not know."""
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.told = {"forced_bos_token_id": self._language(config.target)} if config.target else {}
        if config.source:
            self._language(config.source)

    @torch.inference_mode()
    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translate texts."""
        size = self.config.batch_size
        return [text for start in range(0, len(texts), size) for text in self._batch(texts[start : start + size])]

    def _batch(self, texts: Sequence[str]) -> list[str]:
        if self.config.source:  # the tokenizer may be shared with other directions
            self.tokenizer.src_lang = self.config.source
        tokens = self.tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True)
        found = self.model.generate(
            **tokens.to(self.model.device),
            num_beams=self.config.beam,
            do_sample=False,
            max_new_tokens=self.config.max_tokens,
            **self.told,
        )
        return [text.strip() for text in self.tokenizer.batch_decode(found, skip_special_tokens=True)]

    def _language(self, name: str) -> int:
        """Give the token of a language: __hi__ for M2M100's hi, and NLLB's hin_Deva itself."""
        vocabulary = self.tokenizer.get_vocab()
        for token in (name, f"__{name}__"):
            if token in vocabulary and token in self.tokenizer.all_special_tokens:
                return vocabulary[token]
        raise UserError(f"{self.config.model} has no language '{name}'; write it as the model does, such as hin_Deva")


class TextModels:
    """Translates text in several directions."""

    def __init__(self, by_direction: Mapping[str, TextModel]) -> None:
        self.by_direction = by_direction

    @classmethod
    def load(cls, configs: Mapping[str, TextModelConfig], device: str) -> "TextModels":
        """Read the models of directions such as en-hi; what several directions share is read once."""
        read: dict[tuple[str, str | None], tuple[Any, Any]] = {}
        for config in configs.values():
            key = config.model, config.revision
            if key not in read:
                read[key] = read_model("AutoModelForSeq2SeqLM", *key, device), read_pretrained("AutoTokenizer", *key)
        return cls({lang: TextModel(*read[each.model, each.revision], each) for lang, each in configs.items()})

    def translate(self, texts: Sequence[str], source: str, to: str) -> list[str]:
        """Translate texts of one language to another."""
        return self.by_direction[f"{source}-{to}"].translate(texts)
