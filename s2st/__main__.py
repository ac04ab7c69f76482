"""Command line of the library.

python -m s2st translate in.wav --to hi -o out.wav --model runs/demo/model
python -m s2st score FOLDER --references refs.tsv --lang en --protocol seamless
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import get_args

import torch

from s2st import audio, recognizers, translators
from s2st.config import UserError
from s2st.evaluation import folder
from s2st.evaluation.protocols import ProtocolName, protocol, recognizer_of

MAX_SECONDS = 50.0  # of a recording: as many units as fairseq's 3,000 positions take
BATCH_ROWS = 16  # recordings that are scored at once


def main() -> None:
    """Parse the command line and run it; a mistake ends with one sentence and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m s2st", description="Textless speech-to-speech translation.")
    commands = parser.add_subparsers(required=True)
    translate = commands.add_parser("translate", help="translate one recording")
    translate.add_argument("input", type=Path, help="recording: any format that libsndfile reads")
    translate.add_argument("--to", required=True, metavar="LANG", help="language to translate to, such as hi")
    translate.add_argument("--from", dest="source", metavar="LANG", help="language spoken; needed if there are several")
    translate.add_argument("-o", "--output", type=Path, required=True, help="WAV file to write")
    translate.add_argument("--model", default="runs/demo/model", help="model folder (default: %(default)s)")
    translate.add_argument("--beam", type=int, default=5, help="width of the beam search (default: %(default)s)")
    translate.set_defaults(run=run_translate)
    score = commands.add_parser("score", help="score a folder of {id}.wav by what a recognizer hears")
    score.add_argument("folder", help="of {id}.wav; what is missing, silent or no audio counts as nothing heard")
    score.add_argument("--references", required=True, metavar="TSV", help="what should be said: columns id and text")
    score.add_argument("--recordings", metavar="FOLDER", help="true speech, {id}.wav: its scores are the ceiling")
    score.add_argument("--lang", required=True, help="language of the folder, such as en")
    score.add_argument("--protocol", choices=get_args(ProtocolName), default="plain", help="(default: %(default)s)")
    score.add_argument(
        "--recognizer",
        metavar="NAME",
        help="moonshine-voice (en), a folder of a run, or a model of transformers (default: that of the protocol)",
    )
    score.set_defaults(run=run_score)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (UserError, audio.AudioError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def run_translate(arguments: argparse.Namespace) -> None:
    """Translate one file."""
    if arguments.beam < 1:
        raise UserError(f"--beam {arguments.beam} must be at least 1")
    if not arguments.output.parent.is_dir():
        raise UserError(f"cannot write {arguments.output}: there is no folder {arguments.output.parent}")
    try:
        data = arguments.input.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {arguments.input}: {error.strerror}") from None
    try:
        waveform = audio.decode(data, MAX_SECONDS)
    except audio.AudioError as error:
        raise UserError(f"{arguments.input}: {error}") from None
    translator = translators.load(arguments.model)
    options = dataclasses.replace(translator.search, beam=arguments.beam)
    translation = translator.translate(waveform, arguments.to, arguments.source, options)
    try:
        arguments.output.write_bytes(audio.encode(translation.waveform, "WAV"))
    except OSError as error:
        raise UserError(f"cannot write {arguments.output}: {error.strerror}") from None
    seconds = len(translation.waveform) / audio.SAMPLE_RATE
    cut = "" if translation.finished else "; the model did not say where to end, and was cut"
    print(f"{arguments.output}: {seconds:.1f} s of '{arguments.to}'{cut}")


def run_score(arguments: argparse.Namespace) -> None:
    """Score a folder, and print the scores as JSON."""
    lang = arguments.lang
    texts = folder.read_references(arguments.references)
    files, extra = folder.find_speech(arguments.folder, texts)
    recordings = folder.find_recordings(arguments.recordings, texts) if arguments.recordings else {}
    name = arguments.recognizer or recognizer_of(arguments.protocol, lang)
    judge, version = recognizers.find(name, lang, "cuda" if torch.cuda.is_available() else "cpu")
    waiting = folder.rows_to_hear(texts, files, recordings)
    rows = []
    for start in range(0, len(waiting), BATCH_ROWS):
        rows += folder.hear_rows(judge.transcribe, lang, waiting[start : start + BATCH_ROWS])
    scores = folder.score_rows(rows, extra, protocol(arguments.protocol, lang), version)
    print(json.dumps(scores, indent=2, ensure_ascii=False))
    print(folder.told(scores), file=sys.stderr)


if __name__ == "__main__":
    main()
