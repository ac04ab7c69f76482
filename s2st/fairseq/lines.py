"""Text files line by line, with errors that name the file and the line."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from s2st.config import UserError


def read_lines(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield where a line is ("FILE, line 3") and the line, without its end.

    Raises UserError if the file cannot be read or is not UTF-8 text.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                yield f"{path}, line {number}", line.removesuffix("\n")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give the path of a local file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8, or look whether it is the right file") from None


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines to a new file, making its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def check_name(name: str, separators: str) -> str:
    """Give back a name that a line or a path can hold: no line end, none of the separators, no way out of a folder.

    Raises UserError for others.
    """
    held = [character for character in f"{separators}\r\n" if character in name]
    if not name or held or name.startswith("/") or re.search(r"(^|/)\.\.(/|$)", name):
        what = f"holds {held[0]!r}" if held else "is empty or leaves its folder"
        raise UserError(f"the name {name!r} {what}, which fairseq's files cannot carry; rename it where it is made")
    return name


def check_language(lang: str, where: str) -> str:
    """Give back the code of a language, which names folders; raises UserError for what cannot be one."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", lang):
        raise UserError(f"{where}: {lang!r} is no language; give letters, digits, _ and -, beginning with a letter")
    return lang


def check_local(path: str, where: str) -> str:
    """Give back the path of a local file or folder; raises UserError for an address in a bucket."""
    if "://" in path:
        raise UserError(f"{where} is {path}, but only local files are read there; copy it, and give the copy's path")
    return path
