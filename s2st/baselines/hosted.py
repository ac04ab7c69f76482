"""Hosted services over HTTP, with the call of the other translators; nothing here runs unless a user asks for it.

A model folder of kind `hosted` has no weights. Whoever translates with it sends recordings to the service, and pays.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np

from s2st.baselines import baseline
from s2st.baselines.azure_service import Azure, AzureConfig
from s2st.baselines.baseline import Baseline, Spoken
from s2st.baselines.google_service import Google, GoogleConfig
from s2st.baselines.hosted_client import Limits
from s2st.baselines.hosted_cost import Prices
from s2st.baselines.hosted_service import Service
from s2st.baselines.openai_service import OpenAi, OpenAiConfig
from s2st.pairing import target_languages
from s2st.speech_to_units import SpeechToUnits

KIND = "hosted"


@dataclass(frozen=True)
class HostedConfig:
    directions: tuple[str, ...]  # such as en-hi
    openai: OpenAiConfig | None = None  # one of these three is the service
    google: GoogleConfig | None = None
    azure: AzureConfig | None = None
    limits: Limits = field(default_factory=Limits)
    prices: Prices | None = None  # none: what is done is counted, but not what it costs
    concurrency: int = 4  # utterances that are under way at once
    max_seconds: float = 60.0  # of a recording; Google's and Azure's endpoints take a minute

    def __post_init__(self) -> None:
        baseline.check_settings(self.directions, self.max_seconds)
        if sum(service is not None for service in (self.openai, self.google, self.azure)) != 1:
            raise ValueError("name one service: openai, google or azure")
        if self.openai is None and self.max_seconds > 60:
            raise ValueError(f"max_seconds={self.max_seconds} is more than the minute that google and azure take")
        if self.concurrency < 1:
            raise ValueError(f"concurrency={self.concurrency} must be at least 1")
        silent = sorted(set(target_languages(self.directions)) - set(self.azure.voices)) if self.azure else []
        if silent:
            raise ValueError(f"azure.voices names no voice for '{silent[0]}'; add one")


class HostedTranslator(Baseline):
    """A hosted service."""

    def __init__(self, config: HostedConfig, service: Service, speech_to_units: SpeechToUnits | None = None) -> None:
        super().__init__(config.directions, config.max_seconds, speech_to_units)
        self.config, self.service = config, service

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "HostedTranslator":
        """Read a model folder that `pipelines.assemble_hosted` wrote, and the key from the environment.

        Raises UserError if either is not there.
        """
        config = baseline.read_settings(folder, KIND, HostedConfig)
        return cls(config, make_service(config), baseline.load_codebook(folder, device))

    def say(self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str) -> list[Spoken]:
        """Have utterances translated, several at once; once one fails in their order, no other is begun."""
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            return list(pool.map(self.service.translate_speech, waveforms, sources, repeat(to)))

    def totals(self) -> dict[str, Any]:
        """Tell what the service was given to do so far, and what it costs where prices are known."""
        return self.service.usage.totals(self.config.prices)


def make_service(config: HostedConfig) -> Service:
    """Make the client of the service that a config names."""
    if config.openai is not None:
        return OpenAi(config.openai, config.limits)
    if config.google is not None:
        return Google(config.google, config.limits)
    assert config.azure is not None, "the config checks that one is named"
    return Azure(config.azure, config.limits)
