"""What a server is told: its models and its limits. They can be changed while it runs (Serve's `user_config`)."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s2st import pauses, storage
from s2st.config import UserError, build

MAX_BEAM = 20  # that a request may ask for
SHORTEST_SECONDS = 2.0  # in which there is room for a pause
MAX_MODELS = 8  # that a replica keeps loaded


@dataclass(frozen=True)
class ServeSettings:
    models: dict[str, str]  # model folders by name; the first that knows a direction translates it
    beam: int = 5  # width of the beam search where a request names none
    max_bytes: int = 10 << 20  # of a request's body
    max_seconds: float = 50.0  # of speech in one piece: fewer units than the 3,000 positions of a translator
    max_waiting_seconds: float = 240.0  # of speech that is worked on at once; whoever comes then is told to come again
    max_stream_bytes: int = 512 << 20  # of a recording that is answered by a stream; it waits on the disk
    max_stream_seconds: float = 2 * 3600.0  # of speech in such a recording, or in a live conversation
    timeout_seconds: float = 60.0  # that an answer may take; of a stream, each part of it
    api_keys: str | None = None  # file with one key a line; without it, only callers on this machine are answered
    cors_origins: tuple[str, ...] = ()  # web pages of other origins that may call, such as https://example.org

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("models is empty; give a name and a folder, as in models: {demo: runs/demo/model}")
        if len(self.models) > MAX_MODELS:
            raise ValueError(f"models names {len(self.models)}, but a replica holds {MAX_MODELS}; deploy two servers")
        for origin in self.cors_origins:
            if "*" in origin or origin.endswith("/"):
                raise ValueError(f"cors_origins: '{origin}' is no origin; name each, as in https://example.org")
        if not 1 <= self.beam <= MAX_BEAM:
            raise ValueError(f"beam {self.beam} must be from 1 to {MAX_BEAM}")
        numbers = ("max_bytes", "max_seconds", "max_waiting_seconds", "max_stream_bytes", "max_stream_seconds")
        for name in (*numbers, "timeout_seconds"):
            if not getattr(self, name) > 0:  # nor NaN
                raise ValueError(f"{name} {getattr(self, name)} must be above 0")

    @property
    def piece_seconds(self) -> float:
        """Longest sentence that speech is cut into."""
        return max(SHORTEST_SECONDS, min(pauses.MAX_SECONDS, self.max_seconds))


def read_settings(arguments: dict[str, Any]) -> ServeSettings:
    """Make settings of what `serve run` or a Serve file gives; `model: FOLDER` stands for one model.

    Values may be text, as a command line has them. Raises UserError.
    """
    given = dict(arguments)
    if "model" in given:
        folder = str(given.pop("model"))
        given.setdefault("models", {model_name(folder): folder})
    given.setdefault("models", {"demo": "runs/demo/model"})
    for name in ("beam", "max_bytes", "max_stream_bytes"):
        if isinstance(given.get(name), str) and given[name].isdigit():
            given[name] = int(given[name])
    if given.get("api_keys"):  # a gateway's folder is another one
        given["api_keys"] = storage.absolute(str(given["api_keys"]))
    if isinstance(given["models"], dict):
        given["models"] = {name: storage.absolute(str(folder)) for name, folder in given["models"].items()}
    return build(ServeSettings, given, "serve")


def model_name(folder: str) -> str:
    """Name a model folder after its run: runs/demo/model is "demo", runs/demo/model_stacked "demo_stacked"."""
    *above, last = [part for part in folder.replace("\\", "/").split("/") if part]
    return above[-1] + last.removeprefix("model") if above and last.startswith("model") else last


def name_models(folders: Sequence[str]) -> dict[str, str]:
    """Give model folders by name; raises UserError if two would have one name."""
    named: dict[str, str] = {}
    for folder in folders:
        name = model_name(folder)
        if name in named:
            raise UserError(f"{folder} and {named[name]} would both be named '{name}'; rename one of the folders")
        named[name] = folder
    return named


def read_keys(settings: ServeSettings) -> tuple[bytes, ...]:
    """Read the keys that callers may show; raises UserError if the file is missing, or holds none."""
    if settings.api_keys is None:
        return ()
    storage.need_file(settings.api_keys, "api_keys")
    keys = tuple(line.strip() for line in storage.read_bytes(settings.api_keys).splitlines() if line.strip())
    if not keys:
        raise UserError(f"api_keys: {settings.api_keys} holds no key; write one a line")
    return keys


def is_local(host: str) -> bool:
    """Tell whether an address is one of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
