"""Put a cascade together: recognisers, and the settings of its other parts, in one folder that stands alone.

A codebook is optional: it tells the units of what the cascade says, by which it is compared with other translators.
"""

from s2st import storage
from s2st.baselines import baseline
from s2st.baselines.cascade import KIND, CascadeConfig, check_heard
from s2st.recognizers import languages_of
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


def check_inputs(config: CascadeConfig, step: Step) -> None:
    """Raise UserError unless the recognizers hear every language that is translated."""
    heard = [lang for folder in step.input_list("recognizers") for lang in languages_of(folder)]
    check_heard(config, heard, f"section '{step.name}'")


def run(config: CascadeConfig, step: Step) -> Counts:
    """Copy the parts, and write the settings of the others."""
    parts = {f"recognizers/{name}": f"{step.run_folder}/{name}" for name in step.inputs.get("recognizers", [])}
    if step.inputs.get("codebook"):
        parts["codebook"] = step.input("codebook")
    for name, folder in parts.items():
        storage.copy_folder(folder, f"{step.output}/{name}")
    baseline.save(step.output, KIND, config, recognizers=step.inputs.get("recognizers", []))
    return Counts(len(parts), len(parts))


STAGE = Stage(
    CascadeConfig,
    run,
    reads={"recognizers": Input(many=True, optional=True), "codebook": Input(optional=True)},
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.assemble_cascade")
