"""Run a script of fairseq as it is: python -m benchmarks.fairseq_script SCRIPT [ARGUMENT ...].

Three things stand in the way of its 2022 code today, and are put right around it: torchaudio has no
sox_effects any more, which it imports but does not need for 16 kHz mono; it moves models to a GPU without
asking whether there is one; torch.load refuses its checkpoints unless told that they may hold more than weights.
"""

import os
import runpy
import sys
from pathlib import Path
from types import ModuleType


def main() -> None:
    """Run the script that the command line names, with the arguments behind it."""
    script = Path(sys.argv[1])
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    sys.modules["torchaudio.sox_effects"] = ModuleType("torchaudio.sox_effects")
    if ".cuda(" in script.read_text():
        import torch  # the script does too: others are not made to pay for it

        torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
    sys.argv = sys.argv[1:]
    sys.path[0] = str(script.parent)
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
