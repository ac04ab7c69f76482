"""What a report shows: rows of its tables, curves, sentences and sounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from s2st.evaluation import charts
from s2st.evaluation.approaches import Approach
from s2st.evaluation.language_models import Scores
from s2st.evaluation.phone_map import Counts
from s2st.evaluation.scores import Share
from s2st.evaluation.unit_strip import UnitTimes
from s2st.evaluation.voice_scores import Figure


@dataclass(frozen=True)
class StageRow:
    """What one stage did."""

    stage: str
    rows_in: int | None  # None: it reads no dataset
    rows_out: int | None  # None: it writes a model
    rejects: int
    audio_hours: float | None
    seconds: float
    cpu_hours: float = 0.0  # of all CPUs that its settings give its workers, busy or not
    gpu_hours: float = 0.0
    costs: Mapping[str, float] = field(default_factory=dict)  # by currency, where prices are known


@dataclass(frozen=True)
class DataRow:
    """Recordings of one language and split."""

    lang: str
    split: str
    num_recordings: int
    num_sentences: int
    num_speakers: int
    hours: float


@dataclass(frozen=True)
class Rejects:
    """Rows that one stage set aside for one reason."""

    stage: str
    reason: str  # that of one of them, where they differ in names and numbers alone
    count: int


@dataclass(frozen=True)
class Failures:
    """How many translations of one direction and kind of units went wrong in which way; one may be counted twice."""

    direction: str  # such as "hi → en"
    unit_kind: str  # such as "mfcc"
    num_translations: int
    cut: int  # they did not end by themselves
    loops: int  # ... and repeat themselves to their end
    empty: int  # no sample of sound
    silent: int  # sound, but none that is heard
    unheard: int  # sound in which the recogniser hears nothing


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one direction, kind of units and group of voices; None is shown as a dash."""

    direction: str  # such as "hi → en"
    unit_kind: str  # such as "mfcc"
    voices: str  # "seen" or "unseen": whether training heard the source's speakers
    num_sentences: int
    content_words: Share  # heard in the translation
    chance: float | None = None  # content words found in another sentence of the same template
    ceiling: float | None = None  # ... in the true units through the vocoder
    recordings: float | None = None  # ... in the true target recordings: what the judge itself misses
    word_error_rate: float | None = None
    character_error_rate: float | None = None
    unit_error_rate: float | None = None
    bleu: float | None = None
    bleu_interval: tuple[float, float] | None = None
    chrf: float | None = None
    chrf_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Transcripts:
    """How well one recogniser hears one language and group of voices, by the likeliest path and by beam search."""

    section: str
    lang: str
    voices: str  # as in ScoreRow
    num_utterances: int
    word_error_rate: float
    beam_word_error_rate: float
    character_error_rate: float
    beam_character_error_rate: float


@dataclass(frozen=True)
class Training:
    """The losses of one training, drawn in one chart."""

    name: str
    curves: tuple[charts.Series, ...]


@dataclass(frozen=True)
class UnitUsage:
    """How often each unit of a codebook occurs, and how long it lasts."""

    name: str  # such as "mfcc, hi"
    counts: tuple[int, ...]  # one a unit, zeros included
    lengths: tuple[int, ...]  # of segment_lengths.count_lengths
    mean_ms: float  # of a segment
    frame_ms: float


@dataclass(frozen=True)
class UnitPhones:
    """Which phones the units of one section have in one language."""

    name: str  # such as "units_1, en"
    counts: Counts


@dataclass(frozen=True)
class UnitQuality:
    """What units of one section tell of phones and voices in one language; None is shown as a dash."""

    units: str  # the section
    kind: str  # such as "hubert layer 9"
    lang: str
    num_units: int  # that occur
    perplexity: float
    pnmi: float | None
    phone_purity: float | None
    cluster_purity: float | None
    same_sentence: float | None  # unit distance of two voices that read it
    other_sentence: float | None  # ... of two sentences in one voice


@dataclass(frozen=True)
class Sentence:
    """One translated sentence as text."""

    direction: str
    unit_kind: str
    voice: str  # the source's speaker
    source_text: str
    reference: str  # text of the true target recording
    heard: str  # what the judge hears in the translation
    content_words: tuple[str, ...]  # of the reference, in its order
    heard_words: tuple[str, ...]  # content words of what is heard, by the same rule
    fault: str = ""  # of the translation, such as "cut"


@dataclass(frozen=True)
class Sound:
    """Something said: FLAC, Ogg or WAV, as short as the report should be small."""

    audio: bytes
    units: UnitTimes | None = None  # None: not known
    heard: str | None = None  # what the judge hears in it; None: nobody was asked


@dataclass(frozen=True)
class Listening:
    """One translated sentence with its sounds."""

    sentence: Sentence
    source: Sound
    target: Sound  # the true recording
    resynthesised: Sound  # what is known to be true, through the same voice
    translated: Sound


@dataclass(frozen=True)
class VoiceScores:
    """How near one vocoder comes to the recordings of one language; figures that are not known are left out."""

    section: str
    lang: str
    durations: str  # "predicted" or "recorded"
    num_recordings: int
    num_words: int  # that a recogniser was asked for
    figures: Mapping[str, Figure]  # of voice_scores.score


@dataclass(frozen=True)
class Resynthesis:
    """One recording and what a vocoder makes of its units."""

    section: str
    lang: str
    text: str
    spoken: Sound
    recording: Sound


@dataclass(frozen=True)
class Continuation:
    """Something a unit language model said, beside the recording whose beginning it had as its prompt."""

    section: str
    lang: str
    name: str  # of the recording, or of the sample
    drawn: Sound
    true: Sound | None = None  # the recording's units in the same voice; None: without a prompt
    prompt_seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """Everything the report shows; empty parts are left out."""

    title: str
    recipe: str  # its file
    commit: str
    date: str
    machine: str  # processor, cores, memory, accelerator
    corpus: str
    corpus_hours: float
    synthetic: bool  # the corpus is spoken by a machine
    elapsed_seconds: float = 0.0  # from the first step's beginning to the last one's end, pauses included
    data: tuple[DataRow, ...] = ()
    stages: tuple[StageRow, ...] = ()
    approaches: tuple[Approach, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    notes: tuple[str, ...] = ()  # under the scores: the judge, signatures of BLEU and chrF
    transcripts: tuple[Transcripts, ...] = ()
    trainings: tuple[Training, ...] = ()
    unit_quality: tuple[UnitQuality, ...] = ()
    unit_phones: tuple[UnitPhones, ...] = ()
    unit_usages: tuple[UnitUsage, ...] = ()
    listening: tuple[Listening, ...] = ()
    voices: tuple[VoiceScores, ...] = ()
    resyntheses: tuple[Resynthesis, ...] = ()
    language_models: Scores = field(default_factory=dict)  # by section and language
    continuations: tuple[Continuation, ...] = ()
    best: tuple[Sentence, ...] = ()
    worst: tuple[Sentence, ...] = ()
    failures: tuple[Failures, ...] = ()
    rejects: tuple[Rejects, ...] = ()
