"""BM25, the ranking by shared words that every learned search has to beat."""

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

_HAN_OR_KANA = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
_RUNS = re.compile(rf"[{_HAN_OR_KANA}]+|[^\W_{_HAN_OR_KANA}]+(?:'[^\W\d_]+)*")
_IS_HAN_OR_KANA = re.compile(rf"[{_HAN_OR_KANA}]")


def tokens_of(text: str) -> list[str]:
    """Lower-cased words; for Han and Kana, characters and pairs of neighbours.

    Those scripts write no spaces, and pairs stand in for words (crosslingual.md 4.4).
    """
    tokens: list[str] = []
    for run in _RUNS.findall(text.lower()):
        if _IS_HAN_OR_KANA.match(run):
            tokens += list(run)
            tokens += [run[i : i + 2] for i in range(len(run) - 1)]
        else:
            tokens.append(run)
    return tokens


@dataclasses.dataclass(frozen=True)
class BM25:
    """Scores documents, given as lists of tokens, against the tokens of a query."""

    documents: Sequence[Sequence[str]]
    k1: float = 1.2
    """How soon a repeated word stops counting."""
    b: float = 0.75
    """How strongly a long document is discounted: 0 not at all, 1 fully."""

    def scores(self, query_tokens: Sequence[str]) -> np.ndarray:
        """float64 [documents]; a word asked for twice counts once."""
        scores = np.zeros(len(self.documents))
        for token in dict.fromkeys(query_tokens):
            if token in self._postings:
                documents, weights = self._postings[token]
                scores[documents] += weights
        return scores

    @cached_property
    def _postings(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
        """token -> the documents that hold it and what it is worth in each."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for index, document in enumerate(self.documents):
            for token, count in Counter(document).items():
                found[token].append((index, count))
        return {token: self._weights(np.array(pairs)) for token, pairs in found.items()}

    def _weights(self, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        documents, counts = pairs[:, 0], pairs[:, 1]
        rarity = np.log1p((len(self.documents) - len(pairs) + 0.5) / (len(pairs) + 0.5))
        length = 1 - self.b + self.b * self._relative_lengths[documents]
        return documents, rarity * counts * (self.k1 + 1) / (counts + self.k1 * length)

    @cached_property
    def _relative_lengths(self) -> np.ndarray:
        lengths = np.array([len(document) for document in self.documents], float)
        return lengths / max(lengths.mean(), 1.0)


def ranks_of(
    index: BM25, queries: Sequence[Sequence[str]], true: Sequence[int]
) -> list[int]:
    """The rank of each query's own document; ties fall as one seed decides."""
    rng = np.random.default_rng(0)
    return [
        rank_of(index.scores(words), document, rng)
        for words, document in zip(queries, true, strict=True)
    ]


def rank_of(scores: np.ndarray, true: int, rng: np.random.Generator) -> int:
    """Place of `true`, 1 the best; equal scores are put in random order."""
    better = int(np.sum(scores > scores[true]))
    equal = int(np.sum(scores == scores[true]))
    return better + int(rng.integers(equal)) + 1
