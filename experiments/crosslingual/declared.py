"""The grid as it was declared, and the finished cells held against it.

    OUT/grid.json   arms with their trials, seeds, steps, endpoints, rule of selection

It is written before the first cell. A grid that differs is refused afterwards, and so
is a cell that is not in it.
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.files import write_whole
from experiments.crosslingual import planned, records
from experiments.crosslingual.grid import (
    ARMS,
    PRIMARY,
    SECONDARY,
    SELECTION,
    VARIANTS,
    Cell,
    Grid,
    cells,
    tuned_as,
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
        grid = configs.build(Grid, named, "grid", path.parent)
        planned.model_of(grid)
        cells(grid, dict.fromkeys(grid.arms, 0))
        expected = json.loads(_declaration(grid))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        UserError,
    ) as error:
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
    count, split or language, of a trial that was not chosen, or trained otherwise.
    """
    chosen = _chosen(grid, found)
    known = {**dict.fromkeys(grid.arms, 0), **chosen}
    wanted = {one.name: one for one in (*tuning(grid), *cells(grid, known))}
    names = set()
    for record in found:
        cell = place = records.cell_of(record)
        arm = tuned_as(cell.arm)
        if cell.family != "tuning":
            place = dataclasses.replace(cell, trial=known.get(arm, 0))
            cell = cell if arm in chosen else place
        if place.name not in wanted:
            raise _stray(record, "it is none of the grid's cells")
        for what in _strays(grid, record, cell, wanted[place.name]):
            raise _stray(record, what)
        names.add(place.name)
    left = (one for name, one in wanted.items() if name not in names)
    return Counter(f"{one.family} {one.corpus}" for one in left)


def _chosen(grid: Grid, found: Sequence[Record]) -> dict[str, int]:
    """Arm -> its trial, where all its trials are finished."""
    tuned = [record for record in found if record["cell"]["family"] == "tuning"]
    count = Counter(record["cell"]["arm"] for record in tuned)
    whole = {arm for arm in grid.arms if count[arm] == len(ARMS[arm])}
    return choose([record for record in tuned if record["cell"]["arm"] in whole])


def _stray(record: Record, what: str) -> UserError:
    return UserError(
        f"{records.cell_of(record).name}: found a cell that {FILE} does not declare: "
        f"{what}; remove it, or finish it with the grid that declared it"
    )


def _strays(grid: Grid, record: Record, cell: Cell, wanted: Cell) -> Iterator[str]:
    """What differs; of a trial that is still open, only that it is one."""
    for field in ("trial", "languages", "split"):
        was, now = (getattr(one, field) for one in (cell, wanted))
        if was != now:
            found, expected = ("all" if one == () else one for one in (was, now))
            yield f"{field}: found {found}, expected {expected}"
    trained = records.cell_of(record)
    if trained.trial not in range(len(ARMS[tuned_as(cell.arm)])):
        yield f"trial: found {trained.trial}, which its arm does not have"
    yield from planned.differences(grid, record, trained)
