"""Malformed and hostile requests, made at random from a seed: files that lie, broken forms, queries and JSON."""

import io
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import quote

import numpy as np
import soundfile

FORMATS = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "RF64", "VOC", "WAVEX", "NIST", "IRCAM")
RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000)
EXTREMES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
BOMB_SECONDS = 3_600
MAGIC = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"FORM", b".snd", b"caff", b"RF64", b"riff", b"NIST_1A", b"")
NAMES = (
    "../../etc/passwd",
    "/dev/zero",
    "C:\\nul",
    "a\x00b.wav",
    "speech.exe",
    "x" * 5_000,
    "s\u00fc\u00df\u202e.wav",
    "",
    "%2e%2e",
)
TYPES = (
    "",
    "audio/wav",
    "text/html",
    "multipart/form-data",
    "application/json",
    "*/*",
    ";;;",
    "audio/\u00e9",
    "x" * 3_000,
)
NUMBERS = ("0", "-1", "21", "1e3", "NaN", "inf", "9" * 400, "0x5", "", "5;DROP", "\u0665", "1.0", " 1 ", "true")
TEXTS = (
    "",
    "hi",
    "HI",
    "ko",
    "h\x00i",
    "\u202ehi",
    "../hi",
    "x" * 9_000,
    "{{7*7}}",
    "\U0001f600",
    "hi\r\nX: y",
    "null",
)
PATHS = (
    "/v1/../healthz",
    "//v1/translate",
    "/v1/translate/",
    "/v1/translate%00",
    "/v1/%2e%2e/",
    "/v1/" + "a" * 3_000,
    "/v1/speak",
)


@dataclass(frozen=True)
class Case:
    """One request."""

    kind: str
    url: str = "/v1/translate?to=hi"
    body: bytes = b""
    headers: dict[str, bytes] = field(default_factory=dict)
    method: str = "POST"


@cache
def recording(format: str, rate: int, channels: int) -> bytes:
    """Make a third of a second of a tone."""
    time = np.arange(rate // 3) / rate
    samples = np.stack([0.4 * np.sin(2 * np.pi * 220 * (1 + channel) * time) for channel in range(channels)], axis=1)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format)
    return buffer.getvalue()


@cache
def bomb() -> bytes:
    """Make an hour of silence as FLAC: some 100 KB."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(BOMB_SECONDS):
            file.write(np.zeros(8_000, np.int16))
    return buffer.getvalue()


def any_recording(chance: random.Random) -> bytes:
    """Pick a recording that is right."""
    format = chance.choice(FORMATS)
    return recording(format, 16_000 if format == "MP3" else chance.choice(RATES), chance.choice((1, 2)))


def flipped(data: bytes, chance: random.Random, most: int, count: int) -> bytes:
    """Change some of the first bytes."""
    changed = bytearray(data)
    for _ in range(count):
        changed[chance.randrange(min(most, len(changed)))] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(changed)


def header(chance: random.Random) -> Case:
    """A recording whose header is damaged."""
    return Case("header", body=flipped(any_recording(chance), chance, 96, chance.randint(1, 12)))


def damaged(chance: random.Random) -> Case:
    """A recording that is damaged anywhere."""
    data = any_recording(chance)
    return Case("damaged", body=flipped(data, chance, len(data), chance.randint(1, 200)))


def truncated(chance: random.Random) -> Case:
    """A recording that breaks off."""
    data = any_recording(chance)
    return Case("truncated", body=data[: chance.randrange(len(data))])


def lying(chance: random.Random) -> Case:
    """A WAV whose header promises another size, rate, width or number of channels."""
    data = bytearray(recording("WAV", 16_000, 1))
    for _ in range(chance.randint(1, 3)):
        place, code = chance.choice(
            ((4, "<I"), (16, "<I"), (20, "<H"), (22, "<H"), (24, "<I"), (32, "<H"), (34, "<H"), (40, "<I"))
        )
        value = chance.choice((*EXTREMES, chance.randrange(1 << 32)))
        struct.pack_into(code, data, place, value & (0xFFFF if code == "<H" else 0xFFFFFFFF))
    return Case("lying", body=bytes(data))


def inflated(chance: random.Random) -> Case:
    """A small FLAC that holds an hour of silence, and may promise another length or rate."""
    data = bytearray(bomb())
    if chance.random() < 0.7:  # STREAMINFO: 20 bits of rate, 3 of channels, 5 of width, 36 of samples
        rate, channels, width = chance.choice((8_000, 1, 655_350)), chance.choice((1, 8)), chance.choice((16, 32))
        samples = chance.choice((0, 1, 8_000 * 20, (1 << 36) - 1, chance.randrange(1 << 36)))
        bits = rate << 44 | (channels - 1) << 41 | (width - 1) << 36 | samples
        struct.pack_into(">Q", data, 18, bits)
    return Case("inflated", body=bytes(data))


def noise(chance: random.Random) -> Case:
    """Bytes that only begin like audio."""
    return Case("noise", body=chance.choice(MAGIC) + chance.randbytes(chance.choice((0, 1, 12, 44, 500, 100_000))))


def form(fields: list[tuple[str, bytes]], boundary: bytes = b"b") -> bytes:
    """Write a form of parts: what follows "form-data;" of each, and its content."""
    parts = [
        b"--" + boundary + b"\r\nContent-Disposition: form-data;" + name.encode() + b"\r\n\r\n" + content + b"\r\n"
        for name, content in fields
    ]
    return b"".join(parts) + b"--" + boundary + b"--\r\n"


def named(chance: random.Random) -> Case:
    """A recording that is right, in a form with a name that is a trick."""
    name = chance.choice(NAMES)
    body = form([(f' name="file"; filename="{name}"', any_recording(chance))])
    return Case("named", body=body, headers={"Content-Type": b"multipart/form-data; boundary=b"})


def broken_form(chance: random.Random) -> Case:
    """A form that is broken, or has too much of something."""
    data = any_recording(chance)
    part = (' name="file"; filename="a.wav"', data)
    body = chance.choice(
        (
            form([part, part]),
            form([(" name=file", b"text")]),
            form([(' name="other"; filename="a.wav"', data)]),
            form([("", data)]),
            form([(f' name="f{i}"', b"x") for i in range(100)] + [part]),
            form([(' name="f"', b"x" * (2 << 20)), part]),
            form([part])[: chance.randrange(1, 300)],
            form([part], b"c"),
            b"--b\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
            b"--b\r\n" + b"A" * 100_000,
            flipped(form([part]), chance, 80, 5),
            b"",
        )
    )
    content_type = chance.choice(
        (b"multipart/form-data; boundary=b",) * 6
        + (
            b"multipart/form-data",
            b"multipart/form-data; boundary=",
            b"MULTIPART/FORM-DATA; boundary=b; charset=utf-7",
            b"multipart/form-data; boundary=" + b"b" * 2_000,
            b"multipart/form-data; boundary=\xff\xfe",
            b"multipart/form-data; charset=nonsense; boundary=b",
        )
    )
    return Case("form", body=body, headers={"Content-Type": content_type})


def typed(chance: random.Random) -> Case:
    """A recording that is right, as a body whose type is odd."""
    kind, accepted = chance.choice(TYPES), chance.choice((*TYPES, "application/json", "audio/*;q=NaN"))
    headers = {"Content-Type": kind.encode("latin-1"), "Accept": accepted.encode("latin-1")}
    return Case("typed", chance.choice(("/v1/translate?to=hi", "/v1/units")), any_recording(chance), headers)


def asked(chance: random.Random) -> Case:
    """A query with values that are none."""
    names = ["to", "from", "model", "voice", "beam", "stream", "__proto__", "to"]
    query = [
        f"{name}={quote(chance.choice(NUMBERS if name in ('beam', 'stream') else TEXTS))}"
        for name in chance.sample(names, chance.randint(0, 5))
    ]
    if chance.random() < 0.5:
        query += ["to=hi", "from=%ff%fe", "&&&=", "beam=1"][: chance.randint(1, 4)]
    return Case("query", "/v1/translate?" + "&".join(query), any_recording(chance))


def wrong_json(chance: random.Random) -> Case:
    """Units to be spoken that are none."""
    value = chance.choice(
        (
            None,
            True,
            "3",
            3.5,
            -1,
            19,
            20,
            10**30,
            [],
            [3],
            {},
            {"a": 1},
            float("nan"),
            float("-inf"),
            "\ud800",
            "x" * 9_000,
        )
    )
    units = chance.choice(([3, value], value, [value] * chance.choice((1, 50, 20_000)), [3, 4]))
    wanted = {"units": units, "to": "hi", chance.choice(("to", "model", "voice", "full", "other")): value}
    body = chance.choice(
        (
            json.dumps(wanted).encode(),
            json.dumps(wanted).encode(),
            json.dumps(wanted).encode(),
            json.dumps(wanted, ensure_ascii=False).encode("utf-16", "surrogatepass"),
            json.dumps([wanted]).encode(),
            b"[" * 100_000,
            b'{"units":' * 50_000 + b"1",
            b'{"units": [' + b"9" * 9_000 + b'], "to": "hi"}',
            b'{"units": [3], "to": "\xff\xfe"}',
            b'{"units": [3], "units": "x", "to": "hi"}',
            chance.randbytes(200),
            b"",
        )
    )
    kind = chance.choice((b"application/json",) * 5 + (b"text/plain", b"application/json; charset=utf-16", b""))
    return Case("json", "/v1/speak", body, {"Content-Type": kind})


def misplaced(chance: random.Random) -> Case:
    """A request to no path, or by a method that is not known there."""
    method = chance.choice(("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "POST"))
    return Case("misplaced", chance.choice(PATHS), any_recording(chance) if method == "POST" else b"", {}, method)


KINDS: tuple[Callable[[random.Random], Case], ...] = (
    header,
    damaged,
    truncated,
    lying,
    inflated,
    noise,
    named,
    broken_form,
    typed,
    asked,
    wrong_json,
    misplaced,
)


def make_case(seed: int) -> Case:
    """Make the case of a seed; kinds take turns."""
    return KINDS[seed % len(KINDS)](random.Random(seed))


def fault(status: int, content_type: str, content: bytes) -> str | None:
    """Tell what is wrong with the answer to a hostile request: neither 4xx nor a 200 with what it promises."""
    if 400 <= status < 500:
        return None
    if status != 200:
        return f"status {status}"
    try:
        if content_type == "audio/wav":
            soundfile.read(io.BytesIO(content))
        elif content_type == "application/json":
            json.loads(content)
    except (soundfile.LibsndfileError, ValueError) as error:
        return f"200 with an answer that cannot be read: {error}"
    return None
