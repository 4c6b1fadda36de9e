"""Makes a finished cell of the study again, and says whether the same came out.

    python -m experiments.crosslingual.rerun --out docs/study --mtvr_loo DIR \
        --cell confirmatory-mtvr_loo-vsm-t3-s0-n400

Nothing in OUT changes. On one core of the same kind of machine (`taskset -c 0`) every
rank is the same; elsewhere sums are taken in another order, and training widens the
difference.
"""

import dataclasses
import logging
import shutil
from collections.abc import Iterator

import numpy as np

from experiments.common import say, settle_in
from experiments.crosslingual import records, study
from experiments.crosslingual.grid import PRESETS, Cell
from experiments.crosslingual.records import Record
from experiments.crosslingual.study import Study
from hero_jax import command_line, errors


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
    old = find(config)
    said = old["cell"] | {"languages": tuple(old["cell"]["languages"])}
    new = study.run_cell(config, PRESETS[config.preset], Cell(**said))
    shutil.rmtree(config.work / config.cell)
    if new is not None:
        for line in differences(old, new):
            say(line)


def find(config: Rerun) -> Record:
    """The finished cell. Raises UserError where there is none of this name."""
    path = records.path_of(config.out / "cells", config.cell)
    if not path.exists():
        raise errors.UserError(
            f"{path}: found no such file; --cell names one of those in {path.parent}, "
            f"without {records.SUFFIX}"
        )
    return records.read(path, ("cell", "config", "ranks", "videos"))


def differences(old: Record, new: Record) -> Iterator[str]:
    """What is said of two records that should be one."""
    changed = [
        key for key in old["config"] if new["config"].get(key) != old["config"][key]
    ]
    if changed or old["videos"] != new["videos"]:
        yield "made of something else: " + ", ".join(changed or ["queries"])
        return
    pairs = list(_pairs(old, new))
    num_changed = sum(int(np.sum(one != other)) for one, other in pairs)
    count = sum(one.size for one, _ in pairs)
    yield f"ranks of videos: {num_changed} of {count} differ"
    for is_cross, side in ((True, "across"), (False, "within")):
        was, now = (records.reciprocal_rank(r, is_cross=is_cross) for r in (old, new))
        yield f"VR MRR {side} languages: was {was:.4f}, now {now:.4f}"


def _pairs(old: Record, new: Record) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for asked, row in old["ranks"].items():
        for read, found in row.items():
            again = new["ranks"][asked][read]
            yield records.as_array(found["VR"]), records.as_array(again["VR"])


if __name__ == "__main__":
    errors.run_main(main)
