"""What HTML pages share: their templates, how numbers and sentences are written, players that carry their sound."""

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from markupsafe import Markup, escape

from s2st.evaluation.language_models import perplexity_table, speech_table
from s2st.evaluation.report_content import Sentence, Sound
from s2st.evaluation.scores import found_words
from s2st.evaluation.spoken_text import spoken_text
from s2st.evaluation.unit_quality import entropy_bits
from s2st.evaluation.unit_strip import unit_strip

MAX_AUDIO_BYTES = 5_000_000  # of all players; 6.7 MB in base64, so that the file stays under 8 MB
AUDIO_TYPES = {b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"RIFF": "audio/wav"}  # by the first four bytes

Row = TypeVar("Row")


def fill(template: str, **content: Any) -> str:
    """Fill a template of the folder `pages`; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        number=number,
        duration=duration,
        money=money,
        player=player,
        marked=marked,
        longest=longest,
        strip=unit_strip,
        entropy=entropy_bits,
        svg=Markup,
        perplexity_table=perplexity_table,
        speech_table=speech_table,
    )
    return environment.get_template(template).render(**content)


def within_budget(rows: Sequence[Row]) -> list[Row]:
    """Keep the first rows, with all their sounds, that the page has room for."""
    shown, spent = [], 0
    for row in rows:
        spent += _audio_bytes(row)
        if spent > MAX_AUDIO_BYTES:
            break
        shown.append(row)
    return shown


def _audio_bytes(value: Any) -> int:
    """Add up all bytes in a dataclass and what it holds."""
    if isinstance(value, bytes):
        return len(value)
    if dataclasses.is_dataclass(value):
        return sum(map(_audio_bytes, vars(value).values()))
    return sum(map(_audio_bytes, value)) if isinstance(value, tuple) else 0


def player(audio: bytes, label: str) -> Markup:
    """An <audio> element that carries its own sound, or a dash if there is none."""
    if not audio:
        return Markup('<span class="none">no sound</span>')
    if audio[:4] not in AUDIO_TYPES:
        raise ValueError(f"'{label}' is neither FLAC, Ogg nor WAV; encode it with s2st.audio.encode")
    data = base64.b64encode(audio).decode()
    element = Markup('<audio controls preload="metadata" aria-label="{}" src="data:{};base64,{}"></audio>')
    return element.format(label, AUDIO_TYPES[audio[:4]], data)


def percent(share: float | None) -> str:
    """0.8123 as 81.2; what is not known as a dash."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f}"


def number(value: float | None, digits: int = 0) -> str:
    """1234.5 as 1,234 or 1,234.5; what is not known as a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42.0 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 59.95:  # what is rounded to 60.0 is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def money(costs: Mapping[str, float]) -> str:
    """Sums by currency."""
    return " + ".join(f"{number(cost, 2)} {currency}" for currency, cost in sorted(costs.items())) or "–"


def longest(row: Any) -> float:
    """Seconds of the longest sound of a row, by its units; 0 where no sound has any."""
    sounds = [value for value in vars(row).values() if isinstance(value, Sound)]
    return max((sound.units.seconds for sound in sounds if sound.units), default=0.0)


def marked(sentence: Sentence) -> Markup:
    """The reference with its content words marked as found or missed; a word may be a stem."""
    found_in_order = found_words(sentence.content_words, sentence.heard_words)
    fates = list(zip(sentence.content_words, found_in_order, strict=True))
    out, lang = [], sentence.direction.rpartition(" ")[2]
    for token in sentence.reference.split():
        parts = spoken_text(token, lang).replace("'", " ").split()
        # a number may be two words
        found = [fates.pop(0)[1] for part in parts if fates and part.startswith(fates[0][0])]
        if found:
            fate = "found" if all(found) else "missed"
            out.append(Markup('<mark class="{}">{}</mark>').format(fate, token))
        else:
            out.append(escape(token))
    return Markup(" ").join(out)
