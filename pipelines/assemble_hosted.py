"""Make a model folder of a hosted service: its settings, and a codebook if its speech is to be compared by units.

The key is read from the environment of every process that translates, and is never written.
"""

from s2st import storage
from s2st.baselines import baseline
from s2st.baselines.hosted import KIND, HostedConfig
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


def run(config: HostedConfig, step: Step) -> Counts:
    """Copy the codebook, and write the settings."""
    if step.inputs.get("codebook"):
        storage.copy_folder(step.input("codebook"), f"{step.output}/codebook")
    baseline.save(step.output, KIND, config)
    return Counts(0, 1, unit="services")


STAGE = Stage(HostedConfig, run, reads={"codebook": Input(optional=True)})

if __name__ == "__main__":
    main("pipelines.assemble_hosted")
