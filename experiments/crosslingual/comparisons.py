"""Contrasts as tables: estimates with intervals, p, and p for all of a table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.crosslingual import contrasts
from experiments.crosslingual.contrasts import (
    Comparison,
    Family,
    Term,
    across,
    within,
)
from experiments.crosslingual.grid import ARMS, VARIANTS
from experiments.crosslingual.intervals import Estimate
from experiments.crosslingual.pages import Block, Intervals, Table
from hero_jax.errors import UserError
from hero_jax.metrics import significance

Columns = Mapping[str, Callable[[Comparison], str]]
Rows = Mapping[tuple[str, ...], Comparison | None]

Pairs = Mapping[str, tuple[str, str]]
"""What is exchanged -> the arm with it, the arm without."""
Correction = tuple[str, Callable[[Sequence[float]], np.ndarray]]
"""Its name, and what it makes of all p of a table."""
CONFIRMATORY: Correction = ("Holm", significance.holm)
EXPLORATORY: Correction = ("BH", significance.benjamini_hochberg)


def effects(
    title: str,
    family: Family,
    pairs: Pairs,
    correction: Correction,
) -> list[Block]:
    """Differences in VR MRR across and within languages, and their difference."""
    kinds: Mapping[str, Callable[[str, str], Sequence[Term]]] = {
        "across": lambda upper, lower: contrasts.difference(upper, lower, across),
        "within": lambda upper, lower: contrasts.difference(upper, lower, within),
        "across - within": contrasts.interaction,
    }
    found: Rows = {
        (what, kind): contrasts.compared(
            family, terms(*pair), contrasts.reciprocal_rank
        )
        for what, pair in pairs.items()
        for kind, terms in kinds.items()
    }
    shown = corrected((title, "languages"), found, correction)
    drawn = tuple(
        Estimate(f"{what}: {kind}", row["low"], row["estimate"], row["high"])
        for (what, kind), row in found.items()
        if row is not None
    )
    if not shown:
        return []
    return [*shown, Intervals(title, drawn), *ratios(title, family, pairs)]


def corrected(
    title: tuple[str, ...], rows: Rows, correction: Correction
) -> list[Table]:
    """Contrasts with p for all of them at once; nothing where none is defined."""
    name, correct = correction
    known = {what: row for what, row in rows.items() if row is not None}
    if not known:
        return []
    adjusted = correct([row["p"] for row in known.values()])
    shown: Rows = {
        what: {**row, "adjusted": p} for (what, row), p in zip(known.items(), adjusted)
    }
    columns: Columns = {
        **ESTIMATE,
        "p": p_others,
        "p, these models": TESTS["p, these models"],
        f"{name} of {len(known)}": lambda c: p_others({**c, "p": c["adjusted"]}),
    }
    return [table(title, shown, columns)]


def ratios(title: str, family: Family, pairs: Pairs) -> list[Block]:
    """Interactions as ratios: a weaker arm has less to lose across languages."""
    rows: Rows = {
        (what,): contrasts.log_gap(family, *pair) for what, pair in pairs.items()
    }
    note = (
        "Differences of MRR shrink with MRR. What each arm keeps across languages, as "
        "a ratio, shrinks less, until an arm nears chance on either side; not in the "
        "protocol, and exploratory:"
    )
    shown = corrected((f"ln(across/within), {title}",), rows, EXPLORATORY)
    return [note, *shown] if shown else []


def above_floor(family: Family, ranked: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Every arm across languages, less BM25 with the query's own words."""
    for one in ranked:
        if one["corpus"] == family.corpus:
            rows: Rows = {(arm,): _above(family, arm, one) for arm in ordered(family)}
            return [*corrected(("across, less the floor",), rows, EXPLORATORY)]
    return []


def _above(family: Family, arm: str, control: Mapping[str, Any]) -> Comparison | None:
    """Raises UserError for a control of other queries."""
    terms, measure = contrasts.mean_of(arm, across), contrasts.reciprocal_rank
    words = {
        asked: {read: {"VR": ranks} for read, ranks in row.items()}
        for asked, row in control["ranks"]["words"].items()
    }
    floor = contrasts.side_values({"cell": {}, "ranks": words}, across, measure)
    found = contrasts.values(family, terms, measure)
    if found is None or floor is None:
        return None
    if found[1].tolist() != control["videos"]:
        raise UserError(
            f"controls of {family.corpus}: found other queries than those of its "
            "cells; remove the file and run the study again"
        )
    by_video = significance.table(found[0] - floor, found[1])
    seeds = float(len(by_video))
    return {**significance.comparison(by_video), "seeds": seeds}


def ordered(family: Family) -> list[str]:
    return [arm for arm in (*ARMS, *VARIANTS) if arm in family.arms]


def table(title: tuple[str, ...], rows: Rows, columns: Columns) -> Table:
    """One row a contrast; those that are undefined say so."""
    written = lambda row, of: "undefined" if row is None else of(row)
    return Table(
        (*title, *columns),
        tuple(
            (*name, *(written(row, of) for of in columns.values()))
            for name, row in rows.items()
        ),
    )


def interval(c: Comparison) -> str:
    return f"{c['estimate']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}]"


def p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


ESTIMATE: Columns = {
    "seeds": lambda c: f"{c['seeds']:.0f}",
    "estimate": interval,
}


def p_others(c: Comparison) -> str:
    """p for other seeds, of which one seed says nothing."""
    return p_value(c["p"]) if c["seeds"] > 1 else "-"


TESTS: Columns = {
    "p": p_others,
    "p, these models": lambda c: p_value(c["p_models"]),
    "p, these videos": lambda c: p_others({**c, "p": c["p_seeds"]}),
}
"""Of other seeds and videos; of other videos alone; of other seeds alone."""
