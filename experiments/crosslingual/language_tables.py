"""Tables that explain the answer: what needs no model, and what models say of language.

Exploratory, without tests of significance: means over seeds, and their spread.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.crosslingual.contrasts import (
    Family,
    Side,
    across,
    reciprocal_rank,
    side_values,
    within,
)
from experiments.crosslingual.pages import Block, Section, Table
from experiments.crosslingual.records import SUFFIX, Record, as_array, cell_of
from hero_jax.errors import UserError

Read = Callable[[Record], float]

WAYS = ("forward", "backward")
WATCHED: Mapping[str, str] = {
    "true pairs": "moments/positive",
    "negatives": "moments/negative",
    "hardest negatives": "moments/hardest",
    "active hinges": "moments/active",
    "gradient norm": "grad_norm",
    "intra margin": "moments/intra_margin",
}
"""What is shown -> its name in a curve."""


def of_controls(found: Sequence[Mapping[str, Any]]) -> list[Section]:
    """The rankings without a model, a table for each corpus."""
    return [
        Section(f"without a model: {one['corpus']}", controls(one)) for one in found
    ]


def controls(record: Mapping[str, Any]) -> tuple[Block, ...]:
    """Every ranking of a corpus and every pair of languages."""
    languages = list(record["ranks"]["words"])
    spoken = {read for row in record["ranks"]["words"].values() for read in row}
    pairs = [(a, read) for a in languages for read in languages if read in spoken]
    header = ("VR MRR, query-subtitles", *(f"{a}-{b}" for a, b in pairs))
    rows = [
        (name, *(_mrr(matrix.get(a, {}).get(b)) for a, b in pairs))
        for name, matrix in record["ranks"].items()
    ]
    chance = np.mean(1 / np.arange(1, record["num_videos"] + 1))
    return (
        f"BM25 on {record['num_videos']} videos; chance is {chance:.3f}. Of a query's "
        "words; of their translations by a dictionary of the training texts; of "
        "the translation of the nearest training text; of a machine translation.",
        Table(header, tuple(rows)),
    )


def floor(corpus: str, found: Sequence[Mapping[str, Any]]) -> list[Block]:
    """What comes across languages without having learnt any but the trained one."""
    ranks = [one["ranks"]["words"] for one in found if one["corpus"] == corpus]
    return [
        "Floor, VR MRR: what both languages write alike (names, numbers), by BM25, "
        + ", ".join(
            f"{asked}-{read} {_mrr(row[read])}"
            for asked, row in matrix.items()
            for read in row
            if asked != read
        )
        for matrix in ranks
    ]


def diagnostics(family: Family, arms: Sequence[str]) -> list[Block]:
    """What vectors and lists say about language, means over pairs and seeds."""
    records = {arm: list(family.arms[arm].values()) for arm in arms}
    if not all("diagnostics" in record for of in records.values() for record in of):
        return []
    rows = tuple(
        (arm, *(_spread([_told(r, name) for r in of]) for name in MEASURES))
        for arm, of in records.items()
    )
    note = (
        "Translations of a query beside each other (P@1 and CSLS: finding one with the "
        "other, mean of both directions), a linear probe for the language of a query, "
        "agreement of the answers to both, and the share of the first ten that speak "
        "the query's language above its share in a mixed corpus. Standard deviations "
        "over seeds in brackets."
    )
    return [note, Table(("arm", *MEASURES), rows)]


def _told(record: Record, name: str) -> float:
    """Raises UserError for diagnostics that do not hold a measure."""
    try:
        return MEASURES[name](record)
    except (KeyError, TypeError, StopIteration) as error:
        cell = cell_of(record).name
        raise UserError(
            f"cells/{cell}{SUFFIX}: diagnostics: found nothing for '{name}' ({error}); "
            "remove it and run the study again"
        ) from None


def matrix(family: Family, arms: Sequence[str]) -> list[Block]:
    """VR MRR of every pair of languages; `none` is a search without subtitles."""
    records = {arm: list(family.arms[arm].values()) for arm in arms}
    ranks = [record["ranks"] for of in records.values() for record in of]
    pairs = {
        (asked, read): None for one in ranks for asked in one for read in one[asked]
    }
    rows = tuple(
        (arm, *(_spread([_of_pair(record, *pair) for record in of]) for pair in pairs))
        for arm, of in records.items()
    )
    header = ("VR MRR, query-subtitles", *(f"{a}-{b}" for a, b in pairs))
    return [Table(header, rows)] if rows else []


def _of_pair(record: Record, asked: str, read: str) -> float:
    found = record["ranks"].get(asked, {}).get(read)
    return np.nan if found is None else float(np.mean(reciprocal_rank(found)))


def recalls(family: Family, arms: Sequence[str]) -> list[Block]:
    """Of videos: recalls at larger ranks, and median ranks."""
    kinds = {f"R@{k} %": k for k in (5, 10, 100)}
    sides = (within, across)
    columns = [f"{name} {side.__name__}" for name in kinds for side in sides]
    rows = tuple(
        (
            arm,
            *(_share(family, arm, side, k) for k in kinds.values() for side in sides),
            *(_median(family, arm, side) for side in sides),
        )
        for arm in arms
    )
    medians = [f"MedR {side.__name__}" for side in sides]
    return [Table(("VR", *columns, *medians), rows)] if rows else []


def _share(family: Family, arm: str, side: Side, k: int) -> str:
    hits = lambda found: 100.0 * (as_array(found["VR"]) <= k)
    found = [side_values(r, side, hits) for r in family.arms[arm].values()]
    known = [values.mean() for values in found if values is not None]
    return f"{np.mean(known):.1f}" if known else "-"


def _median(family: Family, arm: str, side: Side) -> str:
    """Of the queries of one pair of languages, mean over pairs and seeds."""
    median = lambda found: np.array([np.median(as_array(found["VR"]))])
    found = [side_values(r, side, median) for r in family.arms[arm].values()]
    known = [values[0] for values in found if values is not None]
    return f"{np.mean(known):.1f}" if known else "-"


def by_kind(family: Family, arms: Sequence[str]) -> list[Block]:
    """VR MRR by query type, where queries have several types."""
    records = {arm: list(family.arms[arm].values()) for arm in arms}
    kinds = {json.dumps(r.get("kinds", [])) for of in records.values() for r in of}
    names = sorted({*json.loads(min(kinds, default="[]"))} - {""})
    if len(kinds) > 1 or len(names) < 2:
        return []
    kind = np.array(json.loads(kinds.pop()))
    columns = [(name, side) for name in names for side in (within, across)]
    rows = tuple(
        (arm, *(_of_kind(records[arm], side, kind == name) for name, side in columns))
        for arm in arms
    )
    header = ("VR MRR", *(f"{name}, {side.__name__}" for name, side in columns))
    return [
        "By what a query is about: vision, subtitles (t), both.",
        Table(header, rows),
    ]


def _of_kind(records: Sequence[Record], side: Side, chosen: np.ndarray) -> str:
    found = [side_values(record, side, reciprocal_rank) for record in records]
    return _spread([np.nan if v is None else float(v[chosen].mean()) for v in found])


def watched(family: Family, arms: Sequence[str]) -> list[Block]:
    """How scores and gradients stood at the end of training."""
    ends = {arm: [r["curve"][-1] for r in family.arms[arm].values()] for arm in arms}
    if not all("moments/positive" in row for of in ends.values() for row in of):
        return []
    rows = tuple(
        (
            arm,
            *(
                _spread([row.get(term, np.nan) for row in of])
                for term in WATCHED.values()
            ),
        )
        for arm, of in ends.items()
    )
    return ["The last step that was logged.", Table(("arm", *WATCHED), rows)]


Points = Mapping[str, list[tuple[int, float]]]
"""Term -> (step, value)."""
VALIDATED = re.compile(r"val/moments/(\w+)/(\w+)/VR/MRR")


def means(row: Mapping[str, float]) -> dict[str, float]:
    """VR MRR across and within languages at a step that was validated."""
    found = {m.groups(): row[m.string] for m in map(VALIDATED.fullmatch, row) if m}
    spoken = {pair: value for pair, value in found.items() if "none" not in pair}
    named = {
        f"VR MRR/{side.__name__}": [v for pair, v in spoken.items() if side(*pair)]
        for side in (across, within)
    }
    return {name: float(np.mean(of)) for name, of in named.items() if of}


def validated(drawn: Mapping[str, Points]) -> list[Block]:
    """What arms reach on the way."""
    blocks: list[Block] = []
    for side in (across, within):
        of_side = {
            arm: dict(p.get(f"VR MRR/{side.__name__}", ())) for arm, p in drawn.items()
        }
        steps = sorted({step for by_step in of_side.values() for step in by_step})
        rows = tuple(
            (arm, *(f"{by_step[s]:.3f}" if s in by_step else "-" for s in steps))
            for arm, by_step in of_side.items()
        )
        if steps:
            header = (f"VR MRR {side.__name__}, by step", *map(str, steps))
            blocks.append(Table(header, rows))
    return blocks


def _vectors(*path: str) -> Read:
    """A number about the vectors, mean over pairs of languages."""
    return lambda record: _mean(record["diagnostics"]["vectors"], path)


def _translated(kind: str, measure: str) -> Read:
    ways = [_vectors("alignment", kind, f"{way}_{measure}") for way in WAYS]
    return lambda record: float(np.mean([way(record) for way in ways]))


def _lists(name: str) -> Read:
    def read(record: Record) -> float:
        pairs = record["diagnostics"]["lists"].values()
        found = [value(one) for row in pairs for one in row.values()]
        return float(np.mean(_known(found)))

    def value(
        one: Mapping[str, float | None],
    ) -> float | None:  # @10, or all of a smaller corpus
        return next(v for key, v in one.items() if key.partition("@")[0] == name)

    return read


MEASURES: Mapping[str, Read] = {
    "P@1": _translated("true", "P@1"),
    "MRR": _translated("true", "MRR"),
    "P@1, CSLS": _translated("true", "csls_P@1"),
    "P@1, shuffled": _translated("shuffled", "P@1"),
    "cosine above shuffled": _vectors("alignment", "true", "cosine_above_shuffled"),
    "probe": _vectors("probe", "accuracy"),
    "same first answer": _lists("same_top1"),
    "first ten in common": _lists("overlap"),
    "bias to own language": lambda r: _mean(r["diagnostics"]["mixed"], ("bias",)),
}


def _mean(pairs: Mapping[str, Any], path: Sequence[str]) -> float:
    values = list(pairs.values())
    for name in path:
        values = [value[name] for value in values]
    return float(np.mean(_known(values))) if values else np.nan


def _known(values: Sequence[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def _mrr(ranks: list[int | None] | None) -> str:
    """Of the queries that could be said; of how many, where that is not all."""
    if ranks is None:
        return "-"
    known = [rank for rank in ranks if rank is not None]
    part = "" if len(known) == len(ranks) else f" (of {len(known)})"
    return f"{np.mean(1 / as_array(known)):.3f}{part}"


def _spread(values: Sequence[float]) -> str:
    """Mean and standard deviation; nothing where a value is not known."""
    if np.isnan(values).any():
        return "-"
    text = f"{np.mean(values):.3f}"
    return text if len(values) < 2 else f"{text} ({np.std(values, ddof=1):.3f})"
