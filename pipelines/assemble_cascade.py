"""Put a cascade together: recognisers, and the settings of its other parts, in one folder that stands alone.

A codebook is optional: it tells the units of what the cascade says, by which it is compared with other translators.
With a manifest, the cascade translates by the sentences of its training split, and knows none that it is judged by.
"""

from collections import defaultdict

from s2st import storage
from s2st.baselines import baseline
from s2st.baselines.cascade import KIND, PHRASES, CascadeConfig, check_heard
from s2st.baselines.phrases import check_languages
from s2st.config import UserError
from s2st.evaluation.spoken_text import spoken_text
from s2st.recognizers import languages_of
from s2st.schemas import MANIFEST
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


def check(config: CascadeConfig, step: Step) -> None:
    """Raise UserError unless something hears, and texts of all languages can be translated."""
    if (config.whisper is not None) == bool(step.inputs.get("recognizers")):
        raise UserError(f"section '{step.name}' needs recognizers or whisper to hear with; name one of the two")
    if config.text_models and step.inputs.get("manifest"):
        raise UserError(f"section '{step.name}' has both text_models and manifest to translate by; name one of the two")
    if not (config.text_models or step.inputs.get("manifest")):
        check_languages(config.all_languages)


def check_inputs(config: CascadeConfig, step: Step) -> None:
    """Raise UserError unless the recognizers hear every language that is translated."""
    if config.whisper is not None:  # what it hears is known once it is read
        return
    heard = [lang for folder in step.input_list("recognizers") for lang in languages_of(folder)]
    check_heard(config, heard, f"section '{step.name}'")


def run(config: CascadeConfig, step: Step) -> Counts:
    """Copy the parts, and write the settings of the others."""
    parts = {f"recognizers/{name}": f"{step.run_folder}/{name}" for name in step.inputs.get("recognizers", [])}
    if step.inputs.get("codebook"):
        parts["codebook"] = step.input("codebook")
    for name, folder in parts.items():
        storage.copy_folder(folder, f"{step.output}/{name}")
    if step.inputs.get("manifest"):
        storage.write_json(f"{step.output}/{PHRASES}", training_phrases(config, step))
    baseline.save(step.output, KIND, config, recognizers=step.inputs.get("recognizers", []))
    return Counts(len(parts), len(parts))


def training_phrases(config: CascadeConfig, step: Step) -> dict[str, list[str]]:
    """Read the training sentences that are there in all languages of the cascade, in one order by language.

    Raises UserError if there are none.
    """
    rows = datasets.read_table(step.input("manifest"), MANIFEST, ["sentence_id", "lang", "split", "text"]).to_pylist()
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row["split"] == "train" and spoken_text(row["text"] or "", row["lang"]):  # letters, that can be heard
            texts[row["sentence_id"]][row["lang"]] = row["text"]
    languages = config.all_languages
    whole = [texts[sentence] for sentence in sorted(texts) if texts[sentence].keys() >= set(languages)]
    if not whole:
        raise UserError(f"section '{step.name}': no training sentence has a text in all of {', '.join(languages)}")
    return {lang: [known[lang] for known in whole] for lang in languages}


STAGE = Stage(
    CascadeConfig,
    run,
    reads={
        "recognizers": Input(many=True, optional=True),
        "manifest": Input(MANIFEST, optional=True),
        "codebook": Input(optional=True),
    },
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.assemble_cascade")
