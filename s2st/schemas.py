"""The columns of every dataset that passes between stages on disk."""

import pyarrow as pa

MANIFEST = pa.schema(
    [
        ("utterance_id", pa.string()),  # unique: one recording
        ("sentence_id", pa.string()),  # shared by all recordings and languages of a sentence
        ("lang", pa.string()),  # ISO 639-1
        ("split", pa.string()),  # train | validation | test
        ("speaker", pa.string()),
        ("text", pa.string()),  # for scoring only: no model of the chain sees it
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),  # FLAC, 16 kHz, mono
        ("num_samples", pa.int64()),
    ]
)

UNITS = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("sentence_id", pa.string()),
        ("lang", pa.string()),
        ("split", pa.string()),
        ("speaker", pa.string()),
        ("units", pa.list_(pa.int32())),  # one a frame, not reduced
        ("num_samples", pa.int64()),
        ("codebook", pa.string()),  # fingerprint of the codebook and its encoder
    ]
)

PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("sentence_id", pa.string()),
        ("source_lang", pa.string()),
        ("target_lang", pa.string()),
        ("split", pa.string()),
        ("source_utterance_id", pa.string()),
        ("target_utterance_id", pa.string()),
        ("source_units", pa.list_(pa.int32())),  # reduced
        ("target_units", pa.list_(pa.int32())),  # reduced
        ("codebook", pa.string()),
    ]
)

TRANSLATIONS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("sentence_id", pa.string()),
        ("source_lang", pa.string()),
        ("target_lang", pa.string()),
        ("source_utterance_id", pa.string()),
        ("target_utterance_id", pa.string()),
        ("units", pa.list_(pa.int32())),  # translated, reduced
        ("reference_units", pa.list_(pa.int32())),  # of the true target recording, reduced
        ("audio", pa.binary()),  # the translation, FLAC, 16 kHz, mono
        ("ceiling_audio", pa.binary()),  # the reference units through the same vocoder
        ("seconds", pa.float64()),  # of the translation
    ]
)

SCORES = pa.schema(
    [
        ("pair_id", pa.string()),
        ("sentence_id", pa.string()),
        ("source_lang", pa.string()),
        ("target_lang", pa.string()),
        ("voices", pa.string()),  # "seen" or "unseen": whether training heard the source's speaker
        ("source_text", pa.string()),
        ("reference_text", pa.string()),
        ("heard_text", pa.string()),  # the judge's transcript of the translation
        ("ceiling_text", pa.string()),  # ... of the reference units through the vocoder
        ("recording_text", pa.string()),  # ... of the true target recording
        ("chance_text", pa.string()),  # the true text of another sentence of the same template
        ("reference_units", pa.list_(pa.int32())),
        ("units", pa.list_(pa.int32())),
    ]
)

REJECTS = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("lang", pa.string()),
        ("split", pa.string()),
        ("reason", pa.string()),
    ]
)
