"""Contrasts between arms of the study, from the ranks in its cells.

A contrast is a weighted sum of arms and sides, one value for each seed and query:

    primary = VSM across - InfoNCE across - (VSM within - InfoNCE within)

An arm's side is the mean of a measure over the (query, subtitle) language pairs of that
side, within only languages that were trained; seeds are paired, so only those that all
arms of a contrast have are used.
"""

import dataclasses
import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.crosslingual.planned import dataset_names
from experiments.crosslingual.records import Record, as_array
from hero_jax.errors import UserError
from hero_jax.metrics import significance
from hero_jax.types import Float, Int

Found = Mapping[str, Any]
"""Ranks of one query language under one subtitle language, as a cell records them."""
Side = Callable[[str, str], bool]
"""Whether a (query language, subtitle language) pair belongs to it."""
Measure = Callable[[Found], np.ndarray | None]
"""A value for each query; None where the arm has no local objective."""
Term = tuple[float, str, Side]
"""Weight, arm, side."""
Comparison = Mapping[str, float]
"""What `significance.comparison` says of a contrast, and "seeds", their number."""


def across(asked: str, read: str) -> bool:
    return asked != read


def within(asked: str, read: str) -> bool:
    return asked == read


def reciprocal_rank(found: Found) -> np.ndarray:
    """VR MRR is its mean."""
    return 1 / as_array(found["VR"])


def first_video(found: Found) -> np.ndarray:
    """VR R@1 is its mean."""
    return (as_array(found["VR"]) == 1).astype(float)


def first_moment(found: Found) -> np.ndarray | None:
    """VCMR R@1 at IoU 0.7 is its mean."""
    if found["VCMR"] is None:
        return None
    return (as_array(found["VCMR"]["0.7"]) == 1).astype(float)


def _of_model(record: Record, name: str) -> Any:
    return record.get("config", {}).get("model", {}).get(name)


ALIKE: Mapping[str, Callable[[Record], Any]] = {
    "datasets": lambda r: r.get("data"),
    "names of datasets": lambda r: sorted(dataset_names(r.get("config"))) or None,
    "vocabularies": lambda r: _of_model(r, "vocab_size"),
    "widths of frames": lambda r: _of_model(r, "feature_width"),
    "kinds of frames": lambda r: r.get("visual"),
    "number formats": lambda r: _of_model(r, "dtype"),
}
"""What the grid leaves to whoever runs it, and all cells of a family share; cells from
before it was written down have none. A mesh only changes the order of sums."""


@dataclasses.dataclass(frozen=True)
class Family:
    """The cells of one family on one corpus: arm -> seed -> record."""

    name: str
    corpus: str
    arms: Mapping[str, Mapping[int, Record]]

    @classmethod
    def of(
        cls, records: Iterable[Record], name: str, corpus: str, *others: str
    ) -> "Family":
        """Those of the records that belong to it, or to others to compare it with."""
        arms: dict[str, dict[int, Record]] = {}
        for record in records:
            cell = record["cell"]
            if cell["family"] in (name, *others) and cell["corpus"] == corpus:
                by_seed = arms.setdefault(cell["arm"], {})
                if cell["seed"] in by_seed:
                    raise UserError(
                        f"{name} {corpus} {cell['arm']}: found two cells of seed "
                        f"{cell['seed']}, expected one; remove the other"
                    )
                by_seed[cell["seed"]] = record
        family = cls(name, corpus, arms)
        family.check()
        return family

    def check(self) -> None:
        """Raises UserError for an arm of several settings, and for several datasets."""
        for arm, by_seed in self.arms.items():
            for what in ("trial", "steps"):
                found = {record["cell"][what] for record in by_seed.values()}
                if len(found) > 1:
                    raise UserError(
                        f"{self.name} {self.corpus} {arm}: found cells of {what} "
                        f"{' and '.join(map(str, sorted(found)))}, expected one in all "
                        "seeds; remove those of the other"
                    )
        records = [r for by_seed in self.arms.values() for r in by_seed.values()]
        for what, read in ALIKE.items():
            known = {json.dumps(read(r), sort_keys=True) for r in records} - {"null"}
            if len(known) > 1:
                raise UserError(
                    f"{self.name} {self.corpus}: found cells of {len(known)} {what}, "
                    f"expected one: {textwrap.shorten(' and '.join(known), 200)}; "
                    "remove those of the other, or give each an --out of its own"
                )
        asked = {
            frozenset((a, b) for a in r["ranks"] for b in r["ranks"][a])
            for r in records
        }
        if len(asked) > 1:
            odd = sorted(frozenset.union(*asked) - frozenset.intersection(*asked))
            raise UserError(
                f"{self.name} {self.corpus}: found cells with and without queries and "
                f"subtitles in {odd[0]}, expected the same languages in all; make "
                "those without again"
            )

    def has(self, *arms: str) -> bool:
        """Whether these arms have a seed in common."""
        return all(arm in self.arms for arm in arms) and bool(self.seeds(arms))

    def paired(self, arms: Iterable[str]) -> "Family":
        """These arms alone, with the seeds that all of them have."""
        seeds = self.seeds(arms := list(arms))
        only = {arm: {seed: self.arms[arm][seed] for seed in seeds} for arm in arms}
        return dataclasses.replace(self, arms=only)

    def seeds(self, arms: Iterable[str]) -> list[int]:
        """Those that all of the arms have."""
        return sorted(set.intersection(*(set(self.arms[arm]) for arm in arms)))


def side_values(
    record: Record, side: Side, measure: Measure
) -> Float[np.ndarray, "Q"] | None:
    """Mean over the side's language pairs; `none` is no language.

    What was trained on some languages only is within its own in those alone. Raises
    UserError where a query is not asked in every language.
    """
    languages = set(record["ranks"])
    trained = set(record["cell"].get("languages") or languages)
    found = [
        measure(of_pair)
        for asked, row in record["ranks"].items()
        for read, of_pair in row.items()
        if read in languages
        and side(asked, read)
        and (asked != read or asked in trained)
    ]
    if not found or any(values is None for values in found):
        return None
    if len({len(values) for values in found if values is not None}) > 1:
        raise UserError(
            "cell {family} {corpus} {arm} seed {seed}: found different numbers of "
            "queries in its languages, expected each query in all of them".format(
                **record["cell"]
            )
        )
    return np.mean(np.stack([v for v in found if v is not None]), axis=0)


def values(
    family: Family, terms: Sequence[Term], measure: Measure
) -> tuple[Float[np.ndarray, "seeds Q"], Int[np.ndarray, "Q"]] | None:
    """The contrast by seed and query, and the queries' videos; None if undefined.

    Raises UserError for cells that were not asked the same queries.
    """
    seeds = family.seeds(arm for _, arm, _ in terms)
    parts = [
        [side_values(family.arms[arm][seed], side, measure) for seed in seeds]
        for _, arm, side in terms
    ]
    if any(part is None for of_term in parts for part in of_term):
        return None
    asked = [family.arms[arm][seed]["videos"] for _, arm, _ in terms for seed in seeds]
    if any(videos != asked[0] for videos in asked):
        raise UserError(
            f"{family.name} {family.corpus}: found cells with different queries, "
            "expected the same in all; remove those of another dataset"
        )
    weights = [weight for weight, _, _ in terms]
    total = np.einsum("t,tsq->sq", weights, np.array(parts, float))
    return total, np.array(asked[0])


def compared(
    family: Family, terms: Sequence[Term], measure: Measure, *, num_draws: int = 10_000
) -> Comparison | None:
    """What is said of a contrast; None if undefined."""
    found = values(family, terms, measure)
    if found is None:
        return None
    by_video = significance.table(*found)
    result = significance.comparison(by_video, num_draws=num_draws)
    return {**result, "seeds": float(len(by_video))}


def equivalent(
    family: Family, terms: Sequence[Term], measure: Measure, margin: float
) -> float | None:
    """p of a difference of at least `margin`; small is equivalence."""
    found = values(family, terms, measure)
    return (
        None
        if found is None
        else float(significance.tost(significance.table(*found), margin))
    )


def log_gap(family: Family, arm: str, less: str | None = None) -> Comparison | None:
    """ln(across / within) of VR MRR, or how much more it is than that of another arm.

    None at a mean of 0, where it is undefined.
    """
    arms = [arm] if less is None else [arm, less]
    found = [_log_gaps(family.paired(arms), one) for one in arms]
    tables = [table for table in found if table is not None]
    if len(tables) < len(arms):
        return None
    total = tables[0] - sum(tables[1:])
    return significance.comparison(total) | {"seeds": float(len(total))}


def _log_gaps(family: Family, arm: str) -> np.ndarray | None:
    """A table, seeds x videos, whose mean is ln(across / within)."""
    sides = [values(family, [(1.0, arm, s)], reciprocal_rank) for s in (across, within)]
    tables = [significance.table(*found) for found in sides if found is not None]
    if len(tables) < 2 or any(table.mean() <= 0 for table in tables):
        return None
    return significance.log_ratio(*tables)


def difference(upper: str, lower: str, side: Side) -> list[Term]:
    """One arm less another on one side."""
    return [(1.0, upper, side), (-1.0, lower, side)]


def interaction(upper: str, lower: str) -> list[Term]:
    """How much more one arm gains over another across languages than within."""
    away = [
        (-weight, arm, side) for weight, arm, side in difference(upper, lower, within)
    ]
    return [*difference(upper, lower, across), *away]


def mean_of(arm: str, side: Side) -> list[Term]:
    return [(1.0, arm, side)]
