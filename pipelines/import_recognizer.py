"""Make a recogniser from elsewhere a judge: one that a Python package carries, or a model of transformers."""

from dataclasses import asdict, dataclass
from typing import Literal

from s2st import storage
from s2st.config import UserError
from s2st.evaluation.protocols import recognizer_of
from s2st.interop import moonshine, speech_models
from s2st.interop.speech_models import SpeechModelConfig
from s2st.recognizers import PACKAGE_FILE, SPEECH_MODEL_FILE
from stages.run import main
from stages.stage import Counts, Stage, Step, resource


@dataclass(frozen=True)
class ImportRecognizerConfig:
    """What hears: exactly one of the first three."""

    # Moonshine's, for English. Every machine that judges needs it: pip install moonshine-voice==0.0.65
    package: Literal["moonshine-voice"] | None = None
    model: str | None = None  # Whisper, or one with CTC: a folder, or a repository of the hub, that all machines reach
    protocol: Literal["fairseq", "seamless"] | None = (
        None  # the hub's model that this protocol hears its languages with
    )
    languages: tuple[str, ...] = ()  # that a model is to hear
    revision: str | None = None  # of the hub's repository
    batch_size: int = resource(8)  # recordings that a model hears at once

    def __post_init__(self) -> None:
        if [self.package, self.model, self.protocol].count(None) != 2:
            raise ValueError("give one of package, model and protocol")
        if bool(self.languages) == (self.package is not None):
            raise ValueError("languages say what a model is to hear; a package knows its own")


def speech_model(config: ImportRecognizerConfig) -> SpeechModelConfig:
    """Say which model of transformers it is; raises UserError if the protocol has none that hears all languages."""
    if config.model is not None:
        return SpeechModelConfig(config.model, config.languages, config.revision, config.batch_size)
    assert config.protocol is not None
    names = {lang: recognizer_of(config.protocol, lang) for lang in config.languages}
    if len(set(names.values())) > 1:
        raise UserError(f"the protocol '{config.protocol}' hears each language with another model; give each a section")
    return SpeechModelConfig(names.popitem()[1], config.languages, config.revision, config.batch_size)


def check(config: ImportRecognizerConfig, step: Step) -> None:
    """Raise UserError unless the package is there, or a model that can be a recogniser."""
    if config.package is not None:
        moonshine.need_package()
    else:
        speech_models.check_speech_model(speech_model(config))


def run(config: ImportRecognizerConfig, step: Step) -> Counts:
    """Write which package or model it is, and its version; a repository of the hub stays at the commit of today.

    A model is read once: what cannot hear is told now, not after hours of training.
    """
    if config.package is not None:
        storage.write_json(f"{step.output}/{PACKAGE_FILE}", {"package": config.package})
        return Counts(0, 1, unit="recognizers")
    model = speech_model(config)
    speech_models.load_speech_model(model, "cpu")
    version = speech_models.version_of(model)
    pinned = asdict(model) | {"revision": speech_models.commit_of(model)}
    storage.write_json(f"{step.output}/{SPEECH_MODEL_FILE}", {"model": pinned, "version": version})
    return Counts(0, 1, unit="recognizers")


STAGE = Stage(ImportRecognizerConfig, run, reads={}, check=check)

if __name__ == "__main__":
    main("pipelines.import_recognizer")
