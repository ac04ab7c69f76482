"""How fairseq's tables name a file, or a part of an uncompressed zip: `file.zip:offset:length`."""

import re

from s2st import storage

PART = re.compile(r"(.+):([0-9]{1,20}):([0-9]{1,20})")

Place = tuple[int, int] | None  # offset and length, None for the whole file


def parse_address(address: str) -> tuple[str, Place]:
    """Split an address into the file and where to read."""
    part = PART.fullmatch(address)
    return (part[1], (int(part[2]), int(part[3]))) if part else (address, None)


def read_address(path: str, place: Place) -> bytes:
    """Read a file, or the part of it, at a path or a bucket address.

    Raises OSError, also for a part that the file does not hold, and ValueError for an address of an unknown kind.
    """
    if place is None:
        return storage.read_bytes(path)
    system, there = storage.resolve(path)
    with system.open_input_file(there) as file:
        if sum(place) > file.size():
            raise OSError(f"the part ends at byte {sum(place)}, and the file has {file.size()}")
        return file.read_at(place[1], place[0])
