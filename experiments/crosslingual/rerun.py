"""Makes a finished cell of the study again, and says whether the same came out.

    python -m experiments.crosslingual.rerun --out docs/study --mtvr_loo DIR \
        --cell confirmatory-mtvr_loo-vsm-t3-s0-n400

Nothing in OUT changes. On one core of the same kind of processor (`taskset -c 0`) every
rank is the same; elsewhere sums are taken in another order, and training widens the
difference.
"""

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from experiments.common import say, settle_in
from experiments.crosslingual import declared, planned, records, study
from experiments.crosslingual.contrasts import Found
from experiments.crosslingual.records import Record
from experiments.crosslingual.study import Study
from hero_jax import command_line, errors

Ranks = list[int | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rerun(Study):
    """Make a finished cell again and compare."""

    cell: str
    """Its name: that of its file in OUT/cells."""


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    run(command_line.parse(Rerun, description=__doc__))


def run(config: Rerun) -> None:
    """Makes it, says what differs, and leaves nothing behind."""
    settle_in(config.work)
    old, grid = find(config), declared.read(config.out / declared.FILE)
    declared.missing(grid, [old])
    new = study.run_cell(config, grid, records.cell_of(old))
    shutil.rmtree(config.work / config.cell)
    if new is not None:
        for line in differences(old, new):
            say(line)


def find(config: Rerun) -> Record:
    """The finished cell. Raises UserError where there is none of this name, or one that
    cannot be right."""
    path = records.path_of(config.out / "cells", config.cell)
    if not path.exists():
        raise errors.UserError(
            f"{path}: found no such file; --cell names one of those in {path.parent}, "
            f"without {records.SUFFIX}"
        )
    return records.checked(path)


def differences(old: Record, new: Record) -> Iterator[str]:
    """What is said of two records that should be one."""
    was, now = (dict(planned.flat(record["config"])) for record in (old, new))
    for name in was:
        if now.get(name) != was[name]:
            yield f"config.{name}: was {was[name]}, now {now.get(name)}"
    if newer := [name for name in now if name not in was]:
        yield f"not known when it was made: {', '.join(newer)}"
    was, now = (record["meta"].get("processor", "not said") for record in (old, new))
    if was != now:
        yield f"processor: was {was}, now {now}; another kind sums in another order"
    for name in ("data", "visual"):
        if name in old and old[name] != new.get(name):
            yield f"{name}: was {old[name]}, now {new.get(name)}"
    if old["videos"] != new["videos"]:
        yield "queries: those of another dataset"
        return
    for name, measure in RANKS.items():
        pairs = list(_pairs(old, new, measure))
        num_changed = sum(int(np.sum(one != other)) for one, other in pairs)
        count = sum(one.size for one, _ in pairs)
        yield f"ranks of {name}: {num_changed} of {count} differ"
    for is_cross, side in ((True, "across"), (False, "within")):
        scores = (records.reciprocal_rank(r, is_cross=is_cross) for r in (old, new))
        yield "VR MRR {} languages: was {:.4f}, now {:.4f}".format(side, *scores)


RANKS: Mapping[str, Callable[[Found], Ranks]] = {
    "videos": lambda found: found["VR"],
    "moments in their video": lambda found: (found["SVMR"] or {}).get("0.7", []),
    "moments in the corpus": lambda found: (found["VCMR"] or {}).get("0.7", []),
}


def _pairs(
    old: Record, new: Record, ranks: Callable[[Found], Ranks]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for asked, row in old["ranks"].items():
        for read, found in row.items():
            again = new["ranks"][asked][read]
            yield records.as_array(ranks(found)), records.as_array(ranks(again))


if __name__ == "__main__":
    errors.run_main(main)
