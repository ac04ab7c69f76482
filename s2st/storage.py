"""Files and folders at a local path or a bucket address (s3://, gs://), through pyarrow's file systems."""

import json
from pathlib import Path
from typing import Any

from pyarrow import fs

from s2st.config import UserError


def resolve(address: str) -> tuple[fs.FileSystem, str]:
    """Split an address into its file system and the path inside it."""
    if "://" in address:
        return fs.FileSystem.from_uri(address)
    return fs.LocalFileSystem(), str(Path(address).absolute())


def absolute(address: str) -> str:
    """Make a local path absolute; bucket addresses stay as they are."""
    return address if "://" in address else str(Path(address).absolute())


def read_bytes(address: str) -> bytes:
    """Read a whole file; raises FileNotFoundError."""
    system, path = resolve(address)
    with system.open_input_stream(path) as file:
        return file.read()


def write_bytes(address: str, data: bytes) -> None:
    """Write a whole file, making its folder; a kill leaves the old file or the new one, never half of it."""
    system, path = resolve(address)
    system.create_dir(path.rpartition("/")[0], recursive=True)
    with system.open_output_stream(f"{path}.new") as file:
        file.write(data)
    system.move(f"{path}.new", path)


def read_json(address: str) -> Any:
    """Read a JSON file; raises FileNotFoundError, and UserError for what is no JSON."""
    try:
        return json.loads(read_bytes(address))
    except ValueError as error:  # also of text that is not UTF-8
        raise UserError(f"{address} is no JSON ({error}); it may be half-written, so make it again") from None


def write_json(address: str, value: Any) -> None:
    """Write a JSON file, indented, with a final newline."""
    write_bytes(address, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def is_file(address: str) -> bool:
    """Tell whether a file is there."""
    system, path = resolve(address)
    return system.get_file_info(path).type == fs.FileType.File


def need_file(address: str, where: str) -> None:
    """Raise UserError if a file that the setting `where` names is not there."""
    _need(fs.FileType.File, "file", address, where)


def need_folder(address: str, where: str) -> None:
    """Raise UserError if a folder that the setting `where` names is not there."""
    _need(fs.FileType.Directory, "folder", address, where)


def _need(kind: fs.FileType, name: str, address: str, where: str) -> None:
    try:
        system, path = resolve(address)
        found = system.get_file_info(path).type
    except (OSError, ValueError) as error:  # ValueError: an address of an unknown kind
        reason = str(error).partition("\n")[0]
        raise UserError(f"{where}: cannot look for {address} ({reason}); give a path or a bucket in reach") from None
    if found != kind:
        raise UserError(f"{where}: there is no {name} {address}; give one that is there")


def list_files(folder: str, suffix: str) -> list[str]:
    """List, sorted, the files below a folder that end in `suffix`; a missing folder has none.

    The answers are paths inside the folder's file system, without its scheme.
    """
    system, path = resolve(folder)
    selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
    infos = system.get_file_info(selector)
    return sorted(info.path for info in infos if info.type == fs.FileType.File and info.path.endswith(suffix))


def file_states(folder: str) -> list[tuple[str, int, int]]:
    """List the files below a folder, sorted: name, bytes, and when it was changed, in nanoseconds."""
    system, path = resolve(folder)
    infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return sorted(
        (info.path.removeprefix(path), info.size, info.mtime_ns) for info in infos if info.type == fs.FileType.File
    )


def delete_folder(folder: str) -> None:
    """Delete a folder with all that is in it, if it is there."""
    system, path = resolve(folder)
    if system.get_file_info(path).type == fs.FileType.Directory:
        system.delete_dir(path)


def copy_folder(source: str, target: str) -> None:
    """Copy a folder to another address."""
    source_system, source_path = resolve(source)
    target_system, target_path = resolve(target)
    target_system.create_dir(target_path, recursive=True)
    fs.copy_files(source_path, target_path, source_filesystem=source_system, destination_filesystem=target_system)
