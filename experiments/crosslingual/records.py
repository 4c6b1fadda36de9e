"""Finished cells of the study on disk: configuration, curve, every query's rank.

    DIR/<cell>.json.gz   {"cell", "config", "meta", "curve", "videos", "kinds",
                          "ranks": {query language: {subtitle language:
                              {"VR": [...], "SVMR": {"0.5": [...]}, "VCMR": {...}}}},
                          "diagnostics": {...}}

A rank counts from 1; null is no correct answer. Queries are in the order of the corpus,
`videos` holds the place of each query's true video: whose queries they are, not what
they say. A file appears whole or not at all.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.files import write_whole
from experiments.crosslingual.grid import Cell
from experiments.crosslingual.shapes import (
    NUMBER,
    OBJECT,
    RANK,
    TEXT,
    WHOLE,
    Each,
    Maybe,
    Rule,
    is_whole,
    mismatches,
)
from hero_jax.errors import UserError
from hero_jax.metrics.recall import THRESHOLDS
from hero_jax.metrics.summary import Ranks

SUFFIX = ".json.gz"
DAMAGE = (OSError, EOFError, zlib.error, RecursionError)
"""What reading a damaged file raises."""
Record = Mapping[str, Any]


def path_of(folder: Path, name: str) -> Path:
    return folder / f"{name}{SUFFIX}"


def write(path: Path, record: Record) -> None:
    """The same bytes for the same record: gzip would write the time of day."""
    content = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, gzip.compress(content.encode(), mtime=0))


def read(path: Path, fields: Sequence[str] = ("cell", "ranks", "videos")) -> Record:
    """Raises UserError for a file that is no record with these fields."""
    try:
        record = json.loads(gzip.decompress(path.read_bytes()))
        for field in fields:
            record[field]
    except (*DAMAGE, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: found no record of the study ({error}); remove it and run the "
            "study again"
        ) from None
    return record


def read_all(folder: Path) -> Iterator[Record]:
    """All finished cells, by name. Raises UserError for one that cannot be right."""
    return map(checked, sorted(folder.glob(f"*{SUFFIX}")))


def checked(path: Path) -> Record:
    """A finished cell. Raises UserError for one that cannot be right."""
    record = read(path)
    for problem in problems(record, path.name.removesuffix(SUFFIX)):
        raise UserError(f"{path}: {problem}; remove it and run the study again")
    return record


def cell_of(record: Record) -> Cell:
    """What was trained and judged. Raises TypeError for a record of no cell."""
    fields = record["cell"]
    return Cell(**{**fields, "languages": tuple(fields.get("languages", ()))})


def problems(record: Record, name: str) -> Iterator[str]:
    """What is impossible in a record of this name."""
    try:
        own = cell_of(record).name
    except TypeError as error:
        yield f"cell: {error}"
        return
    if own != name:
        yield f"cell: found {own}, expected that of the file's name"
    wrong = list(mismatches(record, SHAPE))
    yield from wrong or _mismatched(record)


def _mismatched(record: Record) -> Iterator[str]:
    """Where parts of the right shape do not fit one another."""
    count = len(record["videos"])
    places = {"kinds": record["kinds"]}
    places |= {f"ranks.{place}": ranks for place, ranks in lists(record["ranks"])}
    for place, found in places.items():
        if len(found) != count:
            yield f"{place}: found {len(found)}, expected {count}, one a query"
    yield from mismatches(record.get("visual", ""), TEXT, "visual")
    pairs = [of for row in record["ranks"].values() for of in row.values()]
    for task in ("SVMR", "VCMR"):
        if len({of[task] is None for of in pairs}) > 1:
            yield f"ranks: {task}: found none in some pairs of languages, not in others"


MOMENTS = Maybe({str(threshold): [RANK] for threshold in THRESHOLDS})
SHAPE = {
    "cell": {
        "family": TEXT,
        "corpus": TEXT,
        "arm": TEXT,
        "trial": WHOLE,
        "seed": WHOLE,
        "steps": WHOLE,
    },
    "config": OBJECT,
    "meta": OBJECT,
    "videos": [WHOLE],
    "kinds": [TEXT],
    "ranks": Each(Each({"VR": [RANK], "SVMR": MOMENTS, "VCMR": MOMENTS})),
    "curve": Rule(
        lambda rows: isinstance(rows, list) and bool(rows) and all(map(_is_step, rows)),
        "at least the last step, and numbers of each",
    ),
    "diagnostics": {
        "vectors": Each(OBJECT, may_be_empty=True),
        "lists": Each(Each(Each(Maybe(NUMBER))), may_be_empty=True),
        "mixed": Each(Each(Maybe(NUMBER)), may_be_empty=True),
    },
}
"""What a record holds; see above."""


def _is_step(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and is_whole(row.get("step"))
        and all(type(row[name]) in (int, float) for name in row if name != "task")
    )


def lists(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every list of ranks, by its place."""
    if isinstance(found, Mapping):
        for name, value in found.items():
            yield from lists(value, (*path, name))
    elif found is not None:
        yield ".".join(path), found


def last_video(record: Record) -> int:
    """The largest rank of a video."""
    found = [of["VR"] for row in record["ranks"].values() for of in row.values()]
    return max((rank for ranks in found for rank in ranks if rank), default=0)


def as_lists(ranks: Mapping[str, Mapping[str, Ranks]]) -> dict[str, Any]:
    """Ranks as they are written."""
    return {
        asked: {read: _cell(found) for read, found in row.items()}
        for asked, row in ranks.items()
    }


def _cell(found: Ranks) -> dict[str, Any]:
    moments = {
        task: None if of_task is None else {k: written(v) for k, v in of_task.items()}
        for task, of_task in found.moments.items()
    }
    return {"VR": written(found.video), **moments}


def written(ranks: np.ndarray) -> list[int | None]:
    """Ranks as JSON has them, without infinity."""
    return [int(rank) if np.isfinite(rank) else None for rank in ranks]


def as_array(ranks: Sequence[int | None]) -> np.ndarray:
    """Written ranks as numbers, infinite where there was no correct answer."""
    return np.array([np.inf if rank is None else rank for rank in ranks], float)


def reciprocal_rank(record: Record, *, is_cross: bool) -> float:
    """VR MRR over the pairs where query and subtitle language differ, or agree; nan
    where there are none."""
    found = [
        np.mean(1 / as_array(found["VR"]))
        for asked, row in record["ranks"].items()
        for read, found in row.items()
        if read in record["ranks"] and (asked != read) == is_cross
    ]
    return float(np.mean(found)) if found else float("nan")
