"""Every table of the study, rebuilt from its finished cells.

    python -m experiments.crosslingual.answer --out docs/study

Reads OUT/cells and writes OUT/tables.md and, with plots and behind the words of
OUT/report.md where they are written, OUT/report.html. A table says on how many seeds it
rests, and is left out while its cells are missing.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.files import write_whole
from experiments.common import say
from experiments.crosslingual import (
    contrasts,
    controls,
    language_tables,
    localisation,
    records,
)
from experiments.crosslingual.contrasts import (
    Comparison,
    Family,
    Measure,
    Term,
    across,
    within,
)
from experiments.crosslingual.corpora import CORPORA
from experiments.crosslingual.grid import AIDS, ARMS, PRIMARY, SECONDARY, VARIANTS
from experiments.crosslingual.intervals import Estimate
from experiments.crosslingual.pages import (
    Block,
    Figure,
    Intervals,
    Section,
    Table,
    as_html,
    as_markdown,
)
from experiments.crosslingual.records import Record
from hero_jax import command_line, errors
from hero_jax.metrics import significance

MARGIN = 0.01
"""VR MRR within which two arms count as equal, fixed with the protocol (3.7.9)."""

Columns = Mapping[str, Callable[[Comparison], str]]
Rows = Mapping[tuple[str, ...], Comparison | None]

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
VARIED: Mapping[str, tuple[str, str]] = {
    "hard negatives count more, beside the hinge": ("vsm_global_hard", "vsm_global"),
    "the best frame instead of the mean, hinge": ("vsm_global", "vsm_global_mean"),
    "the best frame instead of the mean, softmax": ("info_nce", "info_nce_mean"),
    "contrast of frames beside softmax": ("info_nce_jsd", "info_nce"),
}
AIDED: Mapping[str, tuple[str, str]] = {
    f"{aid} beside {arm}": (f"{arm}+{aid}", arm)
    for arm in ("vsm", "info_nce")
    for aid in AIDS
}
COMPARED: Mapping[str, tuple[tuple[str, ...], Mapping[str, tuple[str, str]]]] = {
    "ingredients": (("confirmatory",), VARIED),
    "aided": (("english_only",), AIDED),
}
"""Exploratory family -> the families its arms are compared with, and how."""
CONFIRMED = ("confirmatory", "english_only", "replication", "longer")
EXPLORED_CORPORA = ("evidence", "translated")
"""Families that are sections of their own on every corpus; which rest on a plan."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """Rebuild the tables of a study."""

    out: Path
    """Where the study wrote its cells; the tables go there, too."""


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
    sections = tables(found, controls.read_all(config.out / "controls"))
    write_whole(config.out / "tables.md", as_markdown(TITLE, sections))
    prose = config.out / "report.md"
    page = as_html(TITLE, sections, prose.read_text("utf-8") if prose.exists() else "")
    write_whole(config.out / "report.html", page)
    say(f"{config.out / 'report.html'}: tables of {len(found)} cells")


def tables(
    found: Sequence[Record], ranked: Sequence[Mapping[str, Any]] = ()
) -> list[Section]:
    """All of them, the head first; `ranked` holds the controls of each corpus."""
    head = Section("What this rests on", (f"{len(found)} finished cells.", LEGEND))
    return [
        head,
        *of_families(found, ranked),
        *of_explorations(found),
        *language_tables.of_controls(ranked),
        *tuning(found),
        *curves(found),
    ]


TITLE = "Does Video-Subtitle Matching help retrieval across languages? Tables"
LEGEND = (
    "Numbers in brackets are 95 % intervals for other seeds and other videos "
    "(hierarchical bootstrap with the width of the two-way analysis of variance); p is "
    "two-sided, `Holm` its correction within the table. MRR counts from 0 to 1."
)


def corpora_of(found: Iterable[Record], name: str) -> list[str]:
    """Where a family has cells."""
    cells = [record["cell"] for record in found]
    return sorted({cell["corpus"] for cell in cells if cell["family"] == name})


def of_explorations(found: Sequence[Record]) -> Iterator[Section]:
    """Variants of the arms, beside the arms they come from; nothing is confirmed."""
    for name, (others, pairs) in COMPARED.items():
        for corpus in corpora_of(found, name):
            family = Family.of(found, name, corpus, *others)
            known = {what: pair for what, pair in pairs.items() if family.has(*pair)}
            blocks = [*arms(family), *effects("exchange", family, known, EXPLORATORY)]
            yield Section(f"{name}: {corpus}", (EXPLORED, *blocks))


EXPLORED = (
    "Exploratory: `BH` is the share of false claims to expect (Benjamini-Hochberg)."
)


def of_families(
    found: Sequence[Record], ranked: Sequence[Mapping[str, Any]]
) -> Iterator[Section]:
    """The sections of every family and corpus that has cells."""
    for name in (*CONFIRMED, *EXPLORED_CORPORA):
        for corpus in corpora_of(found, name):
            family = Family.of(found, name, corpus)
            parts = (facts, endpoint, arms, main_effects, ingredients)
            blocks = [block for part in parts for block in part(family)]
            if name == "english_only":
                blocks += language_tables.floor(corpus, ranked)
            blocks += localisation.tables(family, ordered(family), ranked)
            for explain in EXPLAINED:
                blocks += explain(family, ordered(family))
            yield Section(f"{name}: {corpus}", tuple(blocks))


EXPLAINED = (
    language_tables.matrix,
    language_tables.recalls,
    language_tables.by_kind,
    language_tables.diagnostics,
    language_tables.watched,
)


def facts(family: Family) -> list[Block]:
    """What its frames are, and how long was trained."""
    records = [r for by_seed in family.arms.values() for r in by_seed.values()]
    corpus = CORPORA[family.corpus]
    visual = {record.get("visual", corpus.visual): None for record in records}
    steps = sorted({record["cell"]["steps"] for record in records})
    trained = f"{', '.join(map(str, steps))} steps."
    seen = f"Visual features: {'; '.join(visual)}."
    return [f"{seen} {trained} {corpus.note}".strip()]


def endpoint(family: Family) -> list[Block]:
    """The answer: does VSM help more across languages than within?"""
    if not family.has("vsm", "info_nce"):
        return []
    terms = contrasts.interaction("vsm", "info_nce")
    primary = contrasts.compared(family, terms, contrasts.reciprocal_rank)
    equal = contrasts.equivalent(family, terms, contrasts.reciprocal_rank, MARGIN)
    rows: Rows = {(PRIMARY,): primary, **secondary(family)}
    shown = table(("endpoint",), rows, {**ESTIMATE, **TESTS})
    if primary is None or equal is None:
        return [shown]
    seen = significance.minimal_detectable(primary["se"], primary["df"])
    return [
        shown,
        f"Equivalence within {MARGIN} MRR: p = {p_value(equal)}. A true difference of "
        f"{seen:.3f} would be found with 80 % power.",
        *ratios(family),
    ]


def ratios(family: Family) -> list[Block]:
    """The endpoint as a ratio: a weaker arm has less to lose across languages."""
    pairs = (("vsm", "info_nce"), ("vsm_global", "info_nce"), ("vsm", "info_nce_local"))
    rows: Rows = {
        (f"{upper} less {lower}",): contrasts.log_gap(family, upper, lower)
        for upper, lower in pairs
        if family.has(upper, lower)
    }
    columns = {**ESTIMATE, "p": lambda c: p_value(c["p"])}
    note = (
        "Differences of MRR shrink with MRR. What each arm keeps across languages, as "
        "a ratio, does not; not in the protocol, and exploratory:"
    )
    return [note, table(("ln(across/within)",), rows, columns)]


def secondary(family: Family) -> Rows:
    """Moments: InfoNCE points at none, so its arm with local alignment stands in."""
    if not family.has("vsm", "info_nce_local"):
        return {}
    terms = contrasts.interaction("vsm", "info_nce_local")
    name = f"{SECONDARY}, InfoNCE with local alignment"
    return {(name,): contrasts.compared(family, terms, contrasts.first_moment)}


def arms(family: Family) -> list[Block]:
    """Every arm by itself."""
    rows = {arm: arm_row(family, arm) for arm in ordered(family)}
    header = ("arm", *next(iter(rows.values())))
    return [Table(header, tuple((arm, *row.values()) for arm, row in rows.items()))]


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


def main_effects(family: Family) -> list[Block]:
    """VSM against each of the others, across and within languages."""
    others = [arm for arm in ordered(family) if arm != "vsm" and family.has("vsm", arm)]
    pairs = {arm: ("vsm", arm) for arm in others}
    return effects("VSM less", family, pairs, correction(family))


def ingredients(family: Family) -> list[Block]:
    """What VSM bundles, one exchange at a time."""
    found = {what: pair for what, pair in INGREDIENTS.items() if family.has(*pair)}
    return effects("exchange", family, found, correction(family))


Correction = tuple[str, Callable[[Sequence[float]], np.ndarray]]
"""Its name, and what it makes of all p of a table."""
CONFIRMATORY: Correction = ("Holm", significance.holm)
EXPLORATORY: Correction = ("BH", significance.benjamini_hochberg)


def correction(family: Family) -> Correction:
    return EXPLORATORY if family.name in EXPLORED_CORPORA else CONFIRMATORY


def effects(
    title: str,
    family: Family,
    pairs: Mapping[str, tuple[str, str]],
    correction: Correction,
) -> list[Block]:
    """Differences in VR MRR across and within languages, and their difference."""
    kinds: Mapping[str, Callable[[str, str], Sequence[Term]]] = {
        "across": lambda upper, lower: contrasts.difference(upper, lower, across),
        "within": lambda upper, lower: contrasts.difference(upper, lower, within),
        "across - within": contrasts.interaction,
    }
    found = {
        (what, kind): contrasts.compared(
            family, terms(*pair), contrasts.reciprocal_rank
        )
        for what, pair in pairs.items()
        for kind, terms in kinds.items()
    }
    known = {name: row for name, row in found.items() if row is not None}
    if not known:
        return []
    name, correct = correction
    adjusted = correct([row["p"] for row in known.values()])
    rows: Rows = {
        what: {**row, "adjusted": p} for (what, row), p in zip(known.items(), adjusted)
    }
    columns = {
        **ESTIMATE,
        "p": lambda c: p_value(c["p"]),
        name: lambda c: p_value(c["adjusted"]),
    }
    drawn = tuple(
        Estimate(f"{what}: {kind}", row["low"], row["estimate"], row["high"])
        for (what, kind), row in known.items()
    )
    return [table((title, "languages"), rows, columns), Intervals(title, drawn)]


def tuning(found: Iterable[Record]) -> list[Section]:
    """All trials."""
    trials = [r for r in found if r["cell"]["family"] == "tuning"]
    by_trial = sorted(trials, key=lambda r: (r["cell"]["arm"], r["cell"]["trial"]))
    header = ("arm", "trial", "settings", "VR MRR across", "VR MRR within")
    rows = tuple(map(trial_row, by_trial))
    return [Section("tuning", (Table(header, rows),))] if rows else []


def trial_row(record: Record) -> tuple[str, ...]:
    """An arm, one of its trials, and what it reached on the validation split."""
    arm, trial = record["cell"]["arm"], record["cell"]["trial"]
    settings = ARMS[arm][trial]
    text = f"`{settings.objective}`, learning rate {settings.learning_rate:g}"
    scores = [records.reciprocal_rank(record, is_cross=c) for c in (True, False)]
    return (arm, str(trial), text, *(f"{score:.3f}" for score in scores))


def curves(found: Iterable[Record]) -> list[Section]:
    """Validation and loss over training, where it was validated on the way."""
    drawn = {
        record["cell"]["arm"]: points(record["curve"])
        for record in found
        if record["cell"]["family"] == "curve"
    }
    note = "One seed an arm, on the validation split."
    return [Section("curves", (note, Figure(drawn)))] if drawn else []


def points(curve: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """Term -> (step, value) wherever it was written down."""
    terms = dict.fromkeys(name for row in curve for name in row if "/" in name)
    return {
        term: [(int(row["step"]), row[term]) for row in curve if term in row]
        for term in (*terms, "grad_norm")
    }


# --- How numbers are written. ---


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


TESTS: Columns = {
    "p": lambda c: p_value(c["p"]),
    "p, these models": lambda c: p_value(c["p_models"]),
    "p, these videos": lambda c: p_value(c["p_seeds"]),
}
"""Of other seeds and videos; of other videos alone; of other seeds alone."""


if __name__ == "__main__":
    errors.run_main(main)
