"""How well moments are found in their own video, beside the rule that copies spans.

Moments that overlap a subtitle of the search stand apart from those that do not: there
the rule has nothing to copy, and neither has a model.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.crosslingual.contrasts import (
    Family,
    Found,
    Measure,
    Side,
    across,
    side_values,
    within,
)
from experiments.crosslingual.pages import Block, Table
from experiments.crosslingual.records import Record, as_array
from hero_jax.errors import UserError
from hero_jax.metrics.recall import THRESHOLDS

RULE = "the most similar subtitle's span"

Groups = Mapping[str, np.ndarray]
"""Name -> which of the queries belong to it."""


def tables(
    family: Family, arms: Sequence[str], controls: Sequence[Mapping[str, Any]]
) -> list[Block]:
    """SVMR R@1 of the arms that point at moments; nothing where none does."""
    known = [one for one in controls if one["corpus"] == family.corpus]
    pointing = [arm for arm in arms if known and _points(family, arm)]
    if not pointing:
        return []
    _check(family, pointing, known[0]["videos"])
    overlap = np.array(known[0]["overlaps"]) > 0
    groups = {"all": overlap | True, "overlapping": overlap, "apart": ~overlap}
    cell = next(iter(family.arms[pointing[0]].values()))["cell"]
    found = {RULE: [{"cell": cell, "ranks": known[0]["spans"]}]} | {
        arm: list(family.arms[arm].values()) for arm in pointing
    }
    rows = tuple(
        (name, side.__name__, *_cells(records, side, groups))
        for name, records in found.items()
        for side in (within, across)
    )
    columns = [f"IoU {t}, {group}" for t in THRESHOLDS for group in groups]
    note = (
        f"Moments in their own video; {100 * overlap.mean():.0f} % of them overlap one "
        "of its subtitles. Means over seeds."
    )
    return [note, Table(("SVMR R@1 %", "languages", *columns), rows)]


def first_span(threshold: float) -> Measure:
    """SVMR R@1 is its mean."""

    def measure(found: Found) -> np.ndarray | None:
        if found["SVMR"] is None:
            return None
        return (as_array(found["SVMR"][str(threshold)]) == 1).astype(float)

    return measure


def _points(family: Family, arm: str) -> bool:
    measure = first_span(THRESHOLDS[0])
    found = [side_values(r, within, measure) for r in family.arms[arm].values()]
    return all(values is not None for values in found)


def _cells(records: Sequence[Record], side: Side, groups: Groups) -> Iterator[str]:
    for threshold in THRESHOLDS:
        found = [side_values(r, side, first_span(threshold)) for r in records]
        known = [values for values in found if values is not None]
        for chosen in groups.values():
            values = 100 * np.array(known)[:, chosen] if known else np.zeros(0)
            yield f"{values.mean():.1f}" if values.size else "-"


def _check(family: Family, arms: Sequence[str], videos: Sequence[int]) -> None:
    """Raises UserError unless arms and rule were asked the same queries."""
    for arm in arms:
        for record in family.arms[arm].values():
            if list(record["videos"]) != list(videos):
                raise UserError(
                    f"controls of {family.corpus}: found other queries than in the "
                    f"cells of {arm}; remove the file and run the study again"
                )
