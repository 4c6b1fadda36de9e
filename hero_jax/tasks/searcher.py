"""Answers to typed queries: videos, and where in them, from a corpus encoded once."""

import dataclasses
import functools

from hero_jax.retrieval import answers
from hero_jax.retrieval.search import search
from hero_jax.retrieval.spans import SpanRules
from hero_jax.tasks.base import Answer
from hero_jax.tasks.encoder import NO_SUBTITLES, Encoder
from hero_jax.tasks.language_matrix import LanguageMatrix
from hero_jax.tasks.source import Source
from hero_jax.types import Array, Float


class SearchError(ValueError):
    """A request that cannot be answered; one line says why."""

    exit_code = 2


@dataclasses.dataclass(frozen=True)
class MomentSearcher:
    """A trained moment retrieval model beside its corpus."""

    encoder: Encoder
    source: Source
    has_spans: bool
    rules: SpanRules

    def search(
        self, query: str, k: int = 10, *, split: str = "test", subtitles: str = ""
    ) -> list[Answer]:
        """The best `k` moments of the split's videos, best first.

        A model without a local objective answers with whole videos. The videos are
        read with the subtitles of one language, the first where none is named.
        """
        examples = self.source.open(split)
        subtitles = subtitles or examples.languages[0]
        known = (*examples.languages, NO_SUBTITLES)
        if subtitles not in known:
            raise SearchError(
                f"subtitles: found {subtitles!r}, expected one of {', '.join(known)}"
            )
        if k < 1:
            raise SearchError(f"k: found {k}, expected at least 1")
        tokens = self.source.load_tokenizer().encode([query])[0]
        if not query.strip() or not len(tokens):
            raise SearchError(f"query: found {query!r}, expected words to look for")
        vector = self.encoder.encode_queries([self.source.as_query(tokens)], examples)
        return self._answers(vector, split, subtitles, k)

    def _answers(
        self, vector: Float[Array, "1 D"], split: str, subtitles: str, k: int
    ) -> list[Answer]:
        index = _index(self, split, subtitles)
        videos = self.source.open(split).corpus.videos
        if not self.has_spans:
            found = search(vector, index, k)
            ranked = zip(found.videos[0].tolist(), found.scores[0].tolist())
            return [
                Answer(videos[i].video_id, 0.0, videos[i].duration, score)
                for i, score in ranked
            ]
        probabilities = self.encoder.boundary_probabilities
        rules = dataclasses.replace(
            self.rules, max_videos=max(k, self.rules.max_videos)
        )
        _, rows = answers.corpus_moments(vector, index, probabilities, rules)
        return [
            Answer(
                videos[int(i)].video_id, start, min(end, videos[int(i)].duration), score
            )
            for i, start, end, score in rows[0][:k].tolist()
        ]


@functools.lru_cache(maxsize=8)
def _index(searcher: MomentSearcher, split: str, subtitles: str):
    """The corpus as one model reads it; encoded once in a process."""
    examples = searcher.source.open(split)
    matrix = LanguageMatrix(searcher.encoder, examples, has_spans=searcher.has_spans)
    return matrix.index(subtitles)
