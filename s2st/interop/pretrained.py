"""Models and tokenizers of transformers, from a folder or the hub: weights of safetensors alone, no code of theirs."""

from pathlib import Path
from typing import Any

from s2st.config import UserError

INSTALL = "run: pip install 'transformers>=5' sentencepiece"


def read_pretrained(kind: str, name: str, revision: str | None = None, **settings: Any) -> Any:
    """Read what transformers calls `kind`, such as AutoTokenizer, from a local folder or a repository of the hub.

    Raises UserError if transformers is not installed, or cannot read it.
    """
    try:
        import transformers
    except ImportError:
        raise UserError(f"{name} needs transformers, which is not installed; {INSTALL}") from None
    try:
        return getattr(transformers, kind).from_pretrained(name, revision=revision, trust_remote_code=False, **settings)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        place = "this folder" if Path(name).is_dir() else "the hub"
        raise UserError(f"transformers cannot read {kind} '{name}' from {place}: {reason}; name another") from None


def read_model(kind: str, name: str, revision: str | None, device: str) -> Any:
    """Read a model in eval mode; raises UserError as `read_pretrained`, and where there are no safetensors."""
    return read_pretrained(kind, name, revision, use_safetensors=True).eval().to(device)
