"""What a trained model's vectors and result lists say about language.

vectors  translations beside each other: alignment, geometry, a probe for language
lists    of each pair of query languages: consistency, on every reading in a language
mixed    a corpus of which every other video is read in another language: bias
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hero_jax.metrics.alignment import alignment, geometry
from hero_jax.metrics.consistency import consistency
from hero_jax.metrics.language_probe import language_bias, language_probe
from hero_jax.retrieval.search import all_scores
from hero_jax.tasks.language_matrix import Asked, LanguageMatrix
from hero_jax.types import Float

DIGITS = 5


def diagnose(matrix: LanguageMatrix) -> dict[str, Any]:
    """All of it, of every pair of languages, rounded to 5 digits; None is no number."""
    asked = {code: matrix.ask(code) for code in matrix.examples.languages}
    spoken = [code for code in asked if code in matrix.readings]
    scores = {
        read: {q: np.asarray(all_scores(a.vectors, index)) for q, a in asked.items()}
        for read, index in ((read, matrix.index(read)) for read in spoken)
    }
    pairs = list(itertools.combinations(asked, 2))
    read_pairs = itertools.combinations(spoken, 2)
    found = {
        "vectors": {f"{a}-{b}": of_vectors(asked[a], asked[b]) for a, b in pairs},
        "lists": {
            f"{a}-{b}": {
                read: of_lists(asked, row, a, b) for read, row in scores.items()
            }
            for a, b in pairs
        },
        "mixed": {f"{a}-{b}": of_mixed(scores, a, b) for a, b in read_pairs},
    }
    return _rounded(found)


def of_vectors(first: Asked, second: Asked) -> dict[str, Any]:
    """Translations of one another: how near, in what a space, and how told apart."""
    here, there = _translations(first, second)
    vectors = np.concatenate([here, there])
    language, text = np.divmod(np.arange(len(vectors)), len(here))
    return {
        "alignment": alignment(here, there),
        "geometry": geometry(here, there),
        "probe": language_probe(vectors, language, text),
    }


def of_lists(
    asked: Mapping[str, Asked], scores: Mapping[str, np.ndarray], a: str, b: str
) -> dict[str, float]:
    """Agreement of the answers to the same questions in two languages."""
    rows = _common(asked[a], asked[b])
    return consistency(scores[a][rows[0]], scores[b][rows[1]])


def of_mixed(
    scores: Mapping[str, Mapping[str, Float[np.ndarray, "Q B"]]], a: str, b: str
) -> dict[str, float]:
    """Every other video is read in the other language; both halves are asked."""
    num_videos = scores[a][a].shape[1]
    is_second = np.arange(num_videos) % 2 == 1
    mixed = [np.where(is_second, scores[b][q], scores[a][q]) for q in (a, b)]
    languages = np.repeat([0, 1], [len(part) for part in mixed])
    return language_bias(np.concatenate(mixed), languages, is_second.astype(int))


def _translations(first: Asked, second: Asked) -> Sequence[np.ndarray]:
    here, there = _common(first, second)
    return first.vectors[here], second.vectors[there]


def _common(first: Asked, second: Asked) -> tuple[list[int], list[int]]:
    """Places of the queries that exist in both languages."""
    there = {query.query_id: i for i, query in enumerate(second.queries)}
    pairs = [
        (i, there[query.query_id])
        for i, query in enumerate(first.queries)
        if query.query_id in there
    ]
    return [i for i, _ in pairs], [j for _, j in pairs]


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    return round(float(value), DIGITS) if np.isfinite(value) else None
