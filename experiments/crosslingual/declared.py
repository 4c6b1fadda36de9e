"""The grid as it was declared, and the finished cells held against it.

    OUT/grid.json   arms with their trials, seeds, steps, endpoints, rule of selection

It is written before the first cell. A grid that differs is refused afterwards, and so
is a cell that is not in it.
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.files import write_whole
from experiments.crosslingual import records
from experiments.crosslingual.grid import (
    ARMS,
    PRIMARY,
    SECONDARY,
    SELECTION,
    VARIANTS,
    Cell,
    Grid,
    cells,
    tuning,
)
from experiments.crosslingual.records import Record
from hero_jax import config as configs
from hero_jax.errors import UserError

FILE = "grid.json"


def declare(path: Path, grid: Grid) -> None:
    """Writes the grid before the first cell; refuses to change it afterwards."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _declaration(grid))
    elif read(path) != grid:
        raise UserError(
            f"{path}: found another grid than this program's; finish it with the one "
            "that declared it, or name another --out"
        )


def _declaration(grid: Grid) -> str:
    declared = {
        "grid": configs.to_json(dataclasses.asdict(grid)),
        "arms": {arm: configs.to_json(ARMS[arm], "arms") for arm in grid.arms},
        "variants": {
            name: configs.to_json(VARIANTS[name], "variants")
            for name in (*grid.ingredients, *grid.aided)
        },
        "primary endpoint": PRIMARY,
        "secondary endpoint": SECONDARY,
        "selection": SELECTION,
    }
    return json.dumps(declared, indent=2) + "\n"


def read(path: Path) -> Grid:
    """The grid of a file that `declare` wrote.

    Raises UserError for any other, and for arms or endpoints that are not this
    program's.
    """
    try:
        whole = json.loads(path.read_text("utf-8"))
        fields: Mapping[str, Any] = whole["grid"]
        as_field = lambda value: tuple(value) if isinstance(value, list) else value
        named: dict[str, Any] = {name: as_field(v) for name, v in fields.items()}
        grid = Grid(**named)
        cells(grid, dict.fromkeys(grid.arms, 0))
        expected = json.loads(_declaration(grid))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: found no declared grid ({error}); bring back the one that the "
            "study wrote"
        ) from None
    for name in expected:
        if whole.get(name) != expected[name]:
            raise UserError(
                f"{path}: {name}: found others than this program's; finish it with the "
                "one that declared it, or name another --out"
            )
    return grid


def choose(tuned: Sequence[Record]) -> dict[str, int]:
    """Arm -> the trial of highest VR MRR across languages; the first of equals.

    Raises UserError where nothing was searched across languages.
    """
    best: dict[str, tuple[float, int]] = {}
    for record in sorted(tuned, key=lambda record: record["cell"]["trial"]):
        arm, trial = record["cell"]["arm"], record["cell"]["trial"]
        score = records.reciprocal_rank(record, is_cross=True)
        if not math.isfinite(score):
            raise UserError(
                f"{arm}, trial {trial}: found no query in another language than the "
                "subtitles; a release without subtitles cannot be studied"
            )
        if arm not in best or score > best[arm][0]:
            best[arm] = score, trial
    return {arm: trial for arm, (_, trial) in best.items()}


def missing(grid: Grid, found: Sequence[Record]) -> Mapping[str, int]:
    """Family and corpus -> how many of its cells are not there.

    Raises UserError for a cell that the grid does not have: of another arm, seed, step
    count, split or language, or of a trial that was not chosen.
    """
    first = tuning(grid)
    tuned = [record for record in found if record["cell"]["family"] == "tuning"]
    chosen = dict.fromkeys(grid.arms, 0)
    if len(tuned) == len(first):
        chosen = choose(tuned)
    declared = {one.name: one for one in (*first, *cells(grid, chosen))}
    names = set()
    for record in found:
        cell = records.cell_of(record)
        if len(tuned) < len(first) and cell.family != "tuning":
            cell = dataclasses.replace(cell, trial=0)
        if _judged(declared.get(cell.name)) != _judged(cell):
            raise UserError(
                f"{record['cell']}: found a cell that {FILE} does not declare; remove "
                "it, or finish it with the grid that declared it"
            )
        names.add(cell.name)
    left = (one for name, one in declared.items() if name not in names)
    return Counter(f"{one.family} {one.corpus}" for one in left)


def _judged(cell: Cell | None) -> Cell | None:
    """Without what no result hangs on."""
    return None if cell is None else dataclasses.replace(cell, eval_every=0)
