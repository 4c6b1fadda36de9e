"""What came with imported weights: kept beside a run, and written out again with it.

carried.json     {"format", "file", "sha256", "entries": {name: type in the file}}
carried.pt       the entries that no parameter of the run holds, as they were
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.files import write_whole
from hero_jax import torch_file
from hero_jax.errors import UserError

FORMAT = 1
RECORD, ENTRIES = "carried.json", "carried.pt"


@dataclasses.dataclass(frozen=True, eq=False)
class Carried:
    """The origin of a run's first parameters."""

    file: str
    """Name of the file they came from."""
    sha256: str
    """Of its bytes, to be compared with what its publisher says."""
    types: Mapping[str, str]
    """Every entry of the file, in order, and the type of its values there."""
    entries: Mapping[str, Any]
    """Those that no parameter of the run holds."""


def types_of(state: Mapping[str, Any]) -> dict[str, str]:
    """Name -> type of its values; flags have the name of their Python type."""
    return {
        name: value.dtype.name
        if isinstance(value, np.ndarray)
        else type(value).__name__
        for name, value in state.items()
    }


def save(carried: Carried, run_dir: Path) -> None:
    """The record is written last: with it, the rest is whole."""
    torch_file.write_state(run_dir / ENTRIES, carried.entries)
    record = {
        "format": FORMAT,
        "file": carried.file,
        "sha256": carried.sha256,
        "entries": dict(carried.types),
    }
    write_whole(run_dir / RECORD, json.dumps(record, indent=1) + "\n")


def load(run_dir: Path) -> Carried | None:
    """What `save` was given; None for a run that began from nothing."""
    path = run_dir / RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        found = record["format"]
        origin = record["file"], record["sha256"], dict(record["entries"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: damaged; import the weights again") from None
    if found != FORMAT:
        raise UserError(f"{path}: format: found {found!r}, expected {FORMAT}")
    return Carried(*origin, torch_file.read_state(run_dir / ENTRIES))
