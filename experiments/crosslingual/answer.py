"""Every table of the study, rebuilt from its finished cells.

    python -m experiments.crosslingual.answer --out docs/study

Reads OUT/cells and writes OUT/tables.md and, with plots and behind the words of
OUT/report.md where they are written, OUT/report.html. The head says which declared
cells are missing, and every row on how many seeds it rests.
"""

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from data_pipelines.files import write_whole
from experiments.common import say
from experiments.crosslingual import (
    contrasts,
    controls,
    declared,
    language_tables,
    localisation,
    records,
)
from experiments.crosslingual.comparisons import (
    CONFIRMATORY,
    ESTIMATE,
    EXPLORATORY,
    TESTS,
    Correction,
    Pairs,
    Rows,
    above_floor,
    corrected,
    effects,
    interval,
    ordered,
    p_value,
    table,
)
from experiments.crosslingual.contrasts import (
    Family,
    Measure,
    Side,
    Term,
    across,
    within,
)
from experiments.crosslingual.corpora import CORPORA
from experiments.crosslingual.grid import AIDS, ARMS, PRIMARY, SECONDARY
from experiments.crosslingual.pages import (
    Block,
    Figure,
    Section,
    Table,
    as_html,
    as_markdown,
)
from experiments.crosslingual.records import Record
from hero_jax import command_line, errors
from hero_jax.metrics import significance
from hero_jax.metrics.language_gap import language_gap

MARGIN = 0.01
"""VR MRR within which two arms count as equal, fixed with the protocol (3.7.9)."""

INGREDIENTS: Pairs = {
    "hinge instead of softmax, without local alignment": ("vsm_global", "info_nce"),
    "hinge instead of softmax, with local alignment": ("vsm", "info_nce_local"),
    "local alignment beside the hinge": ("vsm", "vsm_global"),
    "local alignment beside softmax": ("info_nce_local", "info_nce"),
    "only the hardest negative instead of all": ("triplet_max", "vsm_global"),
    "sigmoid instead of softmax": ("siglip", "info_nce"),
    "disordered videos as negatives": ("iic", "info_nce"),
}
VARIED: Pairs = {
    "hard negatives count more, beside the hinge": ("vsm_global_hard", "vsm_global"),
    "the best frame instead of the mean, hinge": ("vsm_global", "vsm_global_mean"),
    "the best frame instead of the mean, softmax": ("info_nce", "info_nce_mean"),
    "contrast of frames beside softmax": ("info_nce_jsd", "info_nce"),
    "hinge with hard negatives instead of softmax": ("vsm_global_hard", "info_nce"),
}
AIDED: Pairs = {
    f"{aid} beside {arm}": (f"{arm}+{aid}", arm)
    for arm in ("vsm", "info_nce")
    for aid in AIDS
}
BOTH_AIDED: Pairs = {
    "neither": ("vsm", "info_nce"),
    **{aid: (f"vsm+{aid}", f"info_nce+{aid}") for aid in AIDS},
}
COMPARED: Mapping[str, tuple[str, Mapping[str, Pairs]]] = {
    "ingredients": ("confirmatory", {"exchange": VARIED}),
    "aided": (
        "english_only",
        {"exchange": AIDED, "VSM less InfoNCE, beside both": BOTH_AIDED},
    ),
}
"""Exploratory family -> the family its arms are compared with, and its tables."""
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
    missing = declared.missing(declared.read(config.out / declared.FILE), found)
    ranked = controls.read_all(config.out / "controls")
    for one in ranked:
        controls.check(one, found)
    words = prose(config.out / "report.md")
    sections = tables(found, ranked, missing)
    page = as_html(TITLE, sections, words)
    write_whole(config.out / "tables.md", as_markdown(f"{TITLE} Tables", sections))
    write_whole(config.out / "report.html", page)
    say(f"{config.out / 'report.html'}: tables of {len(found)} cells")


def prose(path: Path) -> str:
    """The words of a report, if there are any."""
    try:
        return path.read_text("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UserError(f"{path}: {error}; expected UTF-8") from None


def tables(
    found: Sequence[Record],
    ranked: Sequence[Mapping[str, Any]] = (),
    missing: Mapping[str, int] = MappingProxyType({}),
) -> list[Section]:
    """All of them, the head first; `ranked` holds the controls of each corpus.

    `missing` counts declared cells that are not there, by family and corpus.
    """
    left = ", ".join(f"{name} {count}" for name, count in sorted(missing.items()))
    finished = f"{len(found)} finished cells, {f'missing: {left}' if left else 'all'}."
    known = {one["corpus"] for one in ranked}
    cells = map(records.cell_of, found)
    tested = {cell.corpus for cell in cells if cell.split == "test"}
    if bare := sorted(tested - known):
        finished += f" No rankings without a model of {', '.join(bare)}."
    return [
        Section("What this rests on", (finished, LEGEND)),
        *of_families(found, ranked),
        *of_explorations(found),
        *language_tables.of_controls(ranked),
        *tuning(found),
        *curves(found),
    ]


TITLE = "Does Video-Subtitle Matching help retrieval across languages?"
LEGEND = (
    "Numbers in brackets are 95 % intervals for other seeds and other videos "
    "(hierarchical bootstrap with the width of the two-way analysis of variance); p is "
    "two-sided, `Holm` its correction for all differences of the table, whose number "
    "stands behind it. Seeds that agree by chance make an interval too short: a "
    "finding wants a small p of these models as well. One seed says nothing of others. "
    "MRR counts from 0 to 1."
)


def corpora_of(found: Iterable[Record], name: str) -> list[str]:
    """Where a family has cells."""
    cells = [record["cell"] for record in found]
    return sorted({cell["corpus"] for cell in cells if cell["family"] == name})


def of_explorations(found: Sequence[Record]) -> Iterator[Section]:
    """Variants of the arms, beside the arms they come from; nothing is confirmed."""
    for name, (other, shown) in COMPARED.items():
        for corpus in corpora_of(found, name):
            family = beside(found, name, corpus, other)
            blocks = [*facts(family), EXPLORED, *arms(family)]
            for title, pairs in shown.items():
                known = {what: p for what, p in pairs.items() if family.has(*p)}
                blocks += effects(title, family, known, EXPLORATORY)
            for explain in (language_tables.matrix, language_tables.diagnostics):
                blocks += explain(family, ordered(family))
            yield Section(f"{name}: {corpus}", tuple(blocks))


def beside(found: Sequence[Record], name: str, corpus: str, other: str) -> Family:
    """A family with the arms of another one, of its own seeds alone."""
    family = Family.of(found, name, corpus, other)
    records = [r for by_seed in family.arms.values() for r in by_seed.values()]
    seeds = {r["cell"]["seed"] for r in records if r["cell"]["family"] == name}
    own = {
        arm: {seed: record for seed, record in by_seed.items() if seed in seeds}
        for arm, by_seed in family.arms.items()
    }
    compared = {arm: by_seed for arm, by_seed in own.items() if by_seed}
    return dataclasses.replace(family, arms=compared)


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
            if name == "longer":
                blocks += lengthened(family, Family.of(found, "confirmatory", corpus))
            if name == "english_only":
                blocks += language_tables.floor(corpus, ranked)
                blocks += above_floor(family, ranked)
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
    if primary["seeds"] < 2:
        return [shown]
    seen = significance.minimal_detectable(primary["se"], primary["df"])
    return [
        shown,
        f"Equivalence within {MARGIN} MRR: p = {p_value(equal)}. A true difference of "
        f"{seen:.3f} would be found with 80 % power.",
    ]


def lengthened(family: Family, before: Family) -> list[Block]:
    """What more steps change, on the seeds that were trained both ways."""
    shorter = {f"{arm} before": before.arms.get(arm, {}) for arm in family.arms}
    both = dataclasses.replace(family, arms={**family.arms, **shorter})
    if not both.has(*both.arms):
        return []
    both.check()
    both = both.paired(both.arms)
    terms: dict[tuple[str, str], Sequence[Term]] = {
        (arm, side.__name__): contrasts.difference(arm, f"{arm} before", side)
        for arm in family.arms
        for side in (across, within)
    }
    if family.has("vsm", "info_nce"):
        was = contrasts.interaction("vsm before", "info_nce before")
        now = contrasts.interaction("vsm", "info_nce")
        endpoint = "(vsm - info_nce) across - within"
        terms |= {
            (endpoint, "before"): was,
            (endpoint, "after"): now,
            (endpoint, "change"): [*now, *((-w, arm, side) for w, arm, side in was)],
        }
    measure = contrasts.reciprocal_rank
    rows: Rows = {
        name: contrasts.compared(both, of, measure) for name, of in terms.items()
    }
    return [*corrected(("more steps less fewer", "VR MRR"), rows, EXPLORATORY)]


def secondary(family: Family) -> Rows:
    """Moments: InfoNCE points at none, so its arm with local alignment stands in."""
    if not family.has("vsm", "info_nce_local"):
        return {}
    pair = ("vsm", "info_nce_local")
    rows = {
        f"{SECONDARY}, InfoNCE with local alignment": contrasts.interaction(*pair),
        "its part across": contrasts.difference(*pair, across),
        "its part within": contrasts.difference(*pair, within),
    }
    measure = contrasts.first_moment
    return {
        (name,): contrasts.compared(family, terms, measure)
        for name, terms in rows.items()
    }


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
        means = {side: _mean(family, arm, side, measure) for side in (within, across)}
        for side, mean in means.items():
            text = "-" if mean is None else f"{scale * mean:.{PLACES[scale]}f}"
            shown[f"{name} {side.__name__}"] = text
        if name == "VR MRR":
            shown["VR MRR within less across"] = _gap(*means.values())
    gap = contrasts.log_gap(family, arm)
    shown["ln(across/within)"] = "-" if gap is None else interval(gap)
    return shown


def _mean(family: Family, arm: str, side: Side, measure: Measure) -> float | None:
    found = contrasts.values(family, contrasts.mean_of(arm, side), measure)
    return None if found is None else float(found[0].mean())


def _gap(mono: float | None, cross: float | None) -> str:
    if mono is None or cross is None:
        return "-"
    return f"{language_gap(mono, cross)['absolute']:+.3f}"


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


def correction(family: Family) -> Correction:
    return EXPLORATORY if family.name in EXPLORED_CORPORA else CONFIRMATORY


HIDDEN = {"chance", "by_type", "none"}
"""Parts of names of curves that are not drawn."""


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
    note = (
        "One seed an arm, on the validation split; the learning rate falls to its end "
        "at twice the steps of the other families."
    )
    sections = []
    for corpus in corpora_of(found, "curve"):
        family = Family.of(found, "curve", corpus)
        drawn = {
            arm: points(record["curve"])
            for arm in ordered(family)
            for record in family.arms[arm].values()
        }
        blocks = (note, *language_tables.validated(drawn), Figure(drawn))
        sections.append(Section(f"curves: {corpus}", blocks))
    return sections


def points(curve: Sequence[Mapping[str, float]]) -> language_tables.Points:
    """Term -> (step, value) wherever it was written down; the means of VR MRR first."""
    rows = [{**row, **language_tables.means(row)} for row in curve]
    terms = dict.fromkeys(name for row in rows for name in row if "/" in name)
    shown = [name for name in terms if not HIDDEN & set(name.split("/"))]
    return {
        term: [(int(row["step"]), row[term]) for row in rows if term in row]
        for term in (*sorted(shown, key=lambda term: "VR MRR" not in term), "grad_norm")
    }


if __name__ == "__main__":
    errors.run_main(main)
