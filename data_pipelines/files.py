"""Files that are whole or absent: written beside their place, synced and renamed."""

import os
from pathlib import Path

TEMPORARY = ".writing"
"""Ends the name of a file that is not finished."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Replaces a file in one step: nobody, and no crash, ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        make_durable(temporary)
        temporary.replace(path)
    except OSError:  # of a full disk, above all, which half a file keeps full
        temporary.unlink(missing_ok=True)
        raise


def make_durable(path: Path) -> None:
    """Returns once the file's contents are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
