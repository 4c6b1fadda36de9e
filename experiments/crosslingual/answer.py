"""Every table of the study, rebuilt from its finished cells.

    python -m experiments.crosslingual.answer --out docs/study

Reads OUT/cells and writes OUT/tables.md. A table says which seeds it rests on, and is
left out while its cells are missing.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.files import write_whole
from experiments.common import say
from experiments.crosslingual import contrasts, records
from experiments.crosslingual.contrasts import Family, Measure, Term, across, within
from experiments.crosslingual.corpora import CORPORA
from experiments.crosslingual.grid import ARMS, PRIMARY, SECONDARY
from experiments.crosslingual.records import Record
from hero_jax import command_line, errors
from hero_jax.metrics import significance

MARGIN = 0.01
"""VR MRR within which two arms count as equal, fixed with the protocol (3.7.9)."""

Comparison = Mapping[str, float]
Columns = Mapping[str, Callable[[Comparison], str]]

INGREDIENTS: Mapping[str, tuple[str, str]] = {
    "hinge instead of softmax, without local alignment": ("vsm_global", "info_nce"),
    "hinge instead of softmax, with local alignment": ("vsm", "info_nce_local"),
    "local alignment beside the hinge": ("vsm", "vsm_global"),
    "local alignment beside softmax": ("info_nce_local", "info_nce"),
    "only the hardest negative instead of all": ("triplet_max", "vsm_global"),
    "sigmoid instead of softmax": ("siglip", "info_nce"),
    "disordered videos as negatives": ("iic", "info_nce"),
}
"""What is exchanged -> the arm with it, the arm without."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """Rebuild the tables of a study."""

    out: Path
    """Where the study wrote its cells; tables.md goes there, too."""


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    config = command_line.parse(Answer, description=__doc__)
    found = list(records.read_all(config.out / "cells"))
    if not found:
        raise errors.UserError(
            f"{config.out / 'cells'}: found no finished cell; run `python -m "
            f"experiments.crosslingual.study --out {config.out}` first"
        )
    write_whole(config.out / "tables.md", tables(found))
    say(f"{config.out / 'tables.md'}: tables of {len(found)} cells")


def tables(found: Sequence[Record]) -> str:
    """All tables as Markdown."""
    sections = [
        f"# Tables of the study\n\n{len(found)} finished cells. {LEGEND}",
        *of_families(found),
        tuning(found),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


LEGEND = (
    "Numbers in brackets are 95 % intervals for other seeds and other videos "
    "(hierarchical bootstrap with the width of the two-way analysis of variance); p is "
    "two-sided, `Holm` its correction within the table. MRR counts from 0 to 1."
)


def of_families(found: Sequence[Record]) -> Iterator[str]:
    """The sections of every family and corpus that has cells."""
    names = {(r["cell"]["family"], r["cell"]["corpus"]) for r in found}
    for name in ("confirmatory", "english_only", "replication", "longer"):
        for corpus in sorted(corpus for of, corpus in names if of == name):
            family = Family.of(found, name, corpus)
            parts = (endpoint, arms, main_effects, ingredients)
            content = [part(family) for part in parts]
            yield "\n\n".join([heading(family), *filter(None, content)])


def heading(family: Family) -> str:
    """Which corpus, and what its frames are."""
    steps = sorted(
        {r["cell"]["steps"] for by in family.arms.values() for r in by.values()}
    )
    return (
        f"## {family.name}: {family.corpus}\n\nVisual features: "
        f"{CORPORA[family.corpus].visual}. {', '.join(map(str, steps))} steps."
    )


def endpoint(family: Family) -> str:
    """The answer: does VSM help more across languages than within?"""
    if not family.has("vsm", "info_nce"):
        return ""
    terms = contrasts.interaction("vsm", "info_nce")
    primary = contrasts.compared(family, terms, contrasts.reciprocal_rank)
    equal = contrasts.equivalent(family, terms, contrasts.reciprocal_rank, MARGIN)
    rows = {PRIMARY: primary} | secondary(family)
    lines = table("endpoint", rows, {**ESTIMATE, "p": lambda c: p_value(c["p"])})
    if primary is None or equal is None:
        return lines
    seen = significance.minimal_detectable(primary["se"], primary["df"])
    return (
        f"{lines}\n\nEquivalence within {MARGIN} MRR: p = {p_value(equal)}. A true "
        f"difference of {seen:.3f} would be found with 80 % power."
    )


def secondary(family: Family) -> dict[str, Comparison | None]:
    """Moments: InfoNCE points at none, so its arm with local alignment stands in."""
    if not family.has("vsm", "info_nce_local"):
        return {}
    terms = contrasts.interaction("vsm", "info_nce_local")
    name = f"{SECONDARY}, InfoNCE with local alignment"
    return {name: contrasts.compared(family, terms, contrasts.first_moment)}


def arms(family: Family) -> str:
    """Every arm by itself."""
    rows = {arm: arm_row(family, arm) for arm in ordered(family)}
    columns = {name: name for row in rows.values() for name in row}
    lines = [f"| arm | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for arm, row in rows.items():
        lines.append(f"| {arm} | {' | '.join(row.get(c, '') for c in columns)} |")
    return "\n".join(lines)


def arm_row(family: Family, arm: str) -> dict[str, str]:
    """Column -> what is shown of an arm."""
    shown: dict[str, str] = {"seeds": str(len(family.arms[arm]))}
    measures: Mapping[str, tuple[Measure, float]] = {
        "VR MRR": (contrasts.reciprocal_rank, 1.0),
        "VR R@1 %": (contrasts.first_video, 100.0),
        "VCMR R@1 %, IoU 0.7": (contrasts.first_moment, 100.0),
    }
    for name, (measure, scale) in measures.items():
        for side in (within, across):
            found = contrasts.values(family, contrasts.mean_of(arm, side), measure)
            text = (
                "-" if found is None else f"{scale * found[0].mean():.{PLACES[scale]}f}"
            )
            shown[f"{name} {side.__name__}"] = text
    gap = contrasts.log_gap(family, arm)
    shown["ln(across/within)"] = "-" if gap is None else interval(gap)
    return shown


PLACES = {1.0: 3, 100.0: 1}


def main_effects(family: Family) -> str:
    """VSM against each of the others, across and within languages."""
    others = [arm for arm in ordered(family) if arm != "vsm" and family.has("vsm", arm)]
    return effects("VSM less", family, {arm: ("vsm", arm) for arm in others})


def ingredients(family: Family) -> str:
    """What VSM bundles, one exchange at a time."""
    found = {what: pair for what, pair in INGREDIENTS.items() if family.has(*pair)}
    return effects("exchange", family, found)


def effects(title: str, family: Family, pairs: Mapping[str, tuple[str, str]]) -> str:
    """Differences in VR MRR across and within languages, and their difference."""
    kinds: Mapping[str, Callable[[str, str], Sequence[Term]]] = {
        "across": lambda upper, lower: contrasts.difference(upper, lower, across),
        "within": lambda upper, lower: contrasts.difference(upper, lower, within),
        "across - within": contrasts.interaction,
    }
    rows = {
        f"{what} | {kind}": contrasts.compared(
            family, terms(*pair), contrasts.reciprocal_rank
        )
        for what, pair in pairs.items()
        for kind, terms in kinds.items()
    }
    known = {name: row for name, row in rows.items() if row is not None}
    if not known:
        return ""
    adjusted = significance.holm([row["p"] for row in known.values()])
    corrected = {
        name: {**row, "holm": holm}
        for (name, row), holm in zip(known.items(), adjusted)
    }
    columns = {
        **ESTIMATE,
        "p": lambda c: p_value(c["p"]),
        "Holm": lambda c: p_value(c["holm"]),
    }
    return table(f"{title} | languages", corrected, columns)


def tuning(found: Iterable[Record]) -> str:
    """All trials, the chosen ones among them."""
    rows = [r for r in found if r["cell"]["family"] == "tuning"]
    if not rows:
        return ""
    lines = ["## tuning", "", "| arm | trial | settings | VR MRR across | within |"]
    lines.append("|---|---|---|---|---|")
    for record in sorted(rows, key=lambda r: (r["cell"]["arm"], r["cell"]["trial"])):
        cell = record["cell"]
        scores = [records.reciprocal_rank(record, is_cross=c) for c in (True, False)]
        settings = ARMS[cell["arm"]][cell["trial"]]
        text = f"{settings.objective}, learning rate {settings.learning_rate:g}"
        numbers = " | ".join(f"{score:.3f}" for score in scores)
        lines.append(f"| {cell['arm']} | {cell['trial']} | `{text}` | {numbers} |")
    return "\n".join(lines)


# --- How numbers are written. ---


def ordered(family: Family) -> list[str]:
    return [arm for arm in ARMS if arm in family.arms]


def table(title: str, rows: Mapping[str, Comparison | None], columns: Columns) -> str:
    """One row a contrast; those that are undefined say so."""
    width = title.count("|") + 1 + len(columns)
    lines = [f"| {title} | {' | '.join(columns)} |", "|---" * width + "|"]
    for name, row in rows.items():
        shown = [of(row) if row is not None else "undefined" for of in columns.values()]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def interval(c: Comparison) -> str:
    return f"{c['estimate']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}]"


def p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


ESTIMATE: Columns = {
    "seeds": lambda c: f"{c['seeds']:.0f}",
    "estimate": interval,
}


if __name__ == "__main__":
    errors.run_main(main)
