"""The columns of every dataset that passes between stages on disk."""

import pyarrow as pa

UNIT = pa.uint16()  # the number of a unit: a codebook has at most 65,536

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
        ("units", pa.list_(UNIT)),  # one a frame, not reduced
        ("durations", pa.list_(pa.int32())),  # frames of each run of a unit; they add up to the number of units
        ("num_samples", pa.int64()),
        ("encoder", pa.string()),  # fingerprint of the encoder's weights; "" where features need none
        ("layer", pa.int16()),  # of the encoder, counted from 1; 0 where there is none
        ("codebook", pa.string()),  # fingerprint of the units: of features, encoder and centroids together
    ]
)

TRANSCRIPTS = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("sentence_id", pa.string()),
        ("lang", pa.string()),
        ("split", pa.string()),
        ("speaker", pa.string()),
        ("text", pa.string()),  # of the manifest
        ("heard_text", pa.string()),  # of the likeliest path of CTC
        ("beam_text", pa.string()),  # found by beam search
    ]
)

PHONES = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("lang", pa.string()),
        ("split", pa.string()),
        ("phones", pa.list_(pa.string())),  # IPA, and "sil" for pauses
        ("starts", pa.list_(pa.int32())),  # samples; the first at 0, each lasts until the next, the last to the end
        ("num_samples", pa.int64()),
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
        ("source_units", pa.list_(UNIT)),  # reduced
        ("target_units", pa.list_(UNIT)),  # reduced
        ("codebook", pa.string()),
    ]
)

SPEECH_PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("sentence_id", pa.string()),
        ("source_lang", pa.string()),
        ("target_lang", pa.string()),
        ("split", pa.string()),
        ("source_utterance_id", pa.string()),
        ("target_utterance_id", pa.string()),
        ("source_audio", pa.binary()),  # FLAC, 16 kHz, mono
        ("target_audio", pa.binary()),
        ("source_samples", pa.int64()),
        ("target_samples", pa.int64()),
        ("target_units", pa.list_(UNIT)),  # reduced
        ("source_text", pa.string()),  # of the manifest: for tasks beside translation, and for scoring
        ("target_text", pa.string()),
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
        ("units", pa.list_(UNIT)),  # translated, reduced
        ("durations", pa.list_(pa.int32())),  # of each of these, in frames of the units
        ("reference_units", pa.list_(UNIT)),  # of the true target recording, reduced
        ("finished", pa.bool_()),  # false: the model did not say where to end, and was cut
        ("loops", pa.bool_()),  # it was cut, and repeats itself to its end
        ("audio", pa.binary()),  # the translation, FLAC, 16 kHz, mono
        ("ceiling_audio", pa.binary()),  # what is known to be true, through the same voice
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
        ("reference_units", pa.list_(UNIT)),
        ("units", pa.list_(UNIT)),
        ("finished", pa.bool_()),
        ("loops", pa.bool_()),
        ("seconds", pa.float64()),  # of the translation
        ("reference_seconds", pa.float64()),  # of the true target recording
    ]
)

RESYNTHESES = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("sentence_id", pa.string()),
        ("lang", pa.string()),
        ("split", pa.string()),
        ("speaker", pa.string()),  # of the recording
        ("units", pa.list_(UNIT)),  # of the recording, reduced
        ("true_durations", pa.list_(pa.int32())),  # frames of each unit in the recording
        ("durations", pa.list_(pa.int32())),  # ... in what was spoken
        ("predicted", pa.bool_()),  # whether the vocoder chose them; false: they are the true ones
        ("audio", pa.binary()),  # what was spoken, FLAC, 16 kHz, mono
        ("seconds", pa.float64()),
    ]
)

RESYNTHESIS_SCORES = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("sentence_id", pa.string()),
        ("lang", pa.string()),
        ("split", pa.string()),
        ("speaker", pa.string()),
        ("predicted", pa.bool_()),
        ("num_samples", pa.int64()),  # of the recording
        ("mcd", pa.float64()),  # as fairseq measures it
        ("mcd_db", pa.float64()),  # in decibels
        ("mel_l1", pa.float64()),
        ("melody", pa.list_(pa.float64())),  # covariance and variances of the log pitch, summed over frames
        ("duration_error", pa.int64()),  # absolute differences of durations, in frames, summed over units
        ("num_units", pa.int64()),
        ("num_frames", pa.int64()),  # that were spoken
        ("true_frames", pa.int64()),
        ("text", pa.string()),  # of the manifest
        ("heard_text", pa.string()),  # the judge's transcript of what was spoken; null where nobody judges, as the rest
        ("recording_text", pa.string()),  # ... of the recording
        ("num_words", pa.int64()),  # of the text; null where it is too short to be judged, as the next two
        ("word_errors", pa.int64()),  # in what was spoken
        ("recording_word_errors", pa.int64()),
    ]
)

CONTINUATIONS = pa.schema(
    [
        ("utterance_id", pa.string()),  # of the recording; of what has no prompt, "sample-0001"
        ("lang", pa.string()),
        ("kind", pa.string()),  # "true": the recording's units; "continued": from its beginning; "sampled": no prompt
        ("num_prompt_units", pa.int64()),  # of units, which the model did not choose; 0 of "sampled"
        ("units", pa.list_(UNIT)),  # reduced, the prompt included
        ("durations", pa.list_(pa.int32())),  # of each of these, in frames of 20 ms of `audio`
        ("finished", pa.bool_()),  # false: the model did not say where to end, and was cut
        ("loops", pa.bool_()),  # it was cut, and repeats itself to its end
        ("audio", pa.binary()),  # the units, spoken: FLAC, 16 kHz, mono
        ("prompt_samples", pa.int64()),  # of the audio
        ("num_samples", pa.int64()),
    ]
)

CONTINUATION_SCORES = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("lang", pa.string()),
        ("kind", pa.string()),
        ("units", pa.list_(UNIT)),  # after the prompt
        ("finished", pa.bool_()),
        ("loops", pa.bool_()),
        ("heard_text", pa.string()),  # the judge's transcript of what comes after the prompt; null where nobody judges
    ]
)

FOLDER_SCORES = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("lang", pa.string()),
        ("problem", pa.string()),  # missing | empty | silent | unreadable: heard as nothing; null where it is speech
        ("reference_text", pa.string()),
        ("heard_text", pa.string()),  # the judge's transcript
        ("recording_text", pa.string()),  # ... of the true recording; null where none is given, as its length
        ("seconds", pa.float64()),
        ("reference_seconds", pa.float64()),
    ]
)

UNIT_QUALITY = pa.schema(
    [
        ("units", pa.string()),  # the section that made them
        ("kind", pa.string()),  # "hubert layer 9"
        ("lang", pa.string()),
        ("split", pa.string()),
        ("num_utterances", pa.int64()),
        ("num_frames", pa.int64()),
        ("num_units", pa.int64()),  # different ones that occur
        ("perplexity", pa.float64()),
        ("num_phones", pa.int64()),  # different ones; this and the next three are null with fewer than two
        ("pnmi", pa.float64()),
        ("phone_purity", pa.float64()),
        ("cluster_purity", pa.float64()),
        ("voice_pairs", pa.int64()),  # of readings of one sentence by two voices
        ("same_sentence", pa.float64()),  # unit distance of these; null where there are none
        ("other_sentence", pa.float64()),  # ... of two sentences in one voice
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
